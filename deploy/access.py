"""Who may do what in Elasticsearch: the roles in `roles/`, users, and the password that Kibana signs in with.

Everything is written as it should be, so that running it again changes nothing, or changes a password.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from deploy.json_http import Refused, Server
from domain.errors import ConfigError

ROLES: Final = Path(__file__).with_name("roles")
# Elasticsearch's own user for Kibana; it refuses to start as a superuser.
KIBANA_USER: Final = "kibana_system"
# Shorter ones are guessed. Elasticsearch itself asks for six characters.
MIN_PASSWORD: Final = 12


@dataclass(frozen=True, slots=True)
class User:
    """One user with one role; `variable` is the environment variable that holds the password."""

    name: str
    role: str
    variable: str
    full_name: str


USERS: Final = (
    User("soundings_setup", "soundings_setup", "SETUP_PASSWORD", "Soundings: creates templates and indices"),
    User("soundings_index", "soundings_index", "INDEX_PASSWORD", "Soundings: writes mentions"),
    User("soundings_dashboard", "soundings_dashboard", "DASHBOARD_PASSWORD", "Soundings: reads for the page"),
    User("soundings_alert", "soundings_alert", "ALERT_PASSWORD", "Soundings: watches for spikes"),
    User("marketing", "marketing", "MARKETING_PASSWORD", "Marketing, reads in Kibana"),
    User("it", "it", "IT_PASSWORD", "IT, manages Soundings and Kibana"),
)
KIBANA_VARIABLE: Final = "KIBANA_PASSWORD"
# A server that has just begun to listen does not know its own superuser for a second or two.
_STRANGER_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Passwords:
    """Passwords by environment variable; shown never."""

    by_variable: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Passwords:
        """Take every password from the environment.

        Raises:
            ConfigError: missing or short ones, all of them by name.
        """
        variables = [user.variable for user in USERS] + [KIBANA_VARIABLE]
        problems = [
            f"environment: {name}: found {len(environ.get(name, ''))} characters, expected at least {MIN_PASSWORD}"
            for name in variables
            if len(environ.get(name, "")) < MIN_PASSWORD
        ]
        if problems:
            raise ConfigError(problems)
        return cls({name: environ[name] for name in variables})


def roles() -> dict[str, Any]:
    """Give every role by name: the body of Elasticsearch's request for it."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(ROLES.glob("*.json"))}


def grant(elastic: Server, passwords: Passwords, *, patience_seconds: float) -> list[str]:
    """Write roles, users and Kibana's password; give what was done, a line each.

    Args:
        elastic: Elasticsearch, as a user that may manage security.
        passwords: of all users.
        patience_seconds: for how long a server that is still starting is waited for.

    Raises:
        ConfigError: Elasticsearch refuses something.
        BackendDown: it cannot be reached.
    """
    _be_known(elastic, patience_seconds)
    done = []
    for name, body in roles().items():
        elastic.ask("PUT", f"/_security/role/{name}", body, patience_seconds=patience_seconds)
        done.append(f"role {name}")
    for user in USERS:
        body = {
            "password": passwords.by_variable[user.variable],
            "roles": [user.role],
            "full_name": user.full_name,
            "enabled": True,
        }
        elastic.ask("PUT", f"/_security/user/{user.name}", body, patience_seconds=patience_seconds)
        done.append(f"user {user.name}")
    body = {"password": passwords.by_variable[KIBANA_VARIABLE]}
    elastic.ask("POST", f"/_security/user/{KIBANA_USER}/_password", body, patience_seconds=patience_seconds)
    return [*done, f"password of {KIBANA_USER}"]


def _be_known(elastic: Server, patience_seconds: float) -> None:
    deadline = time.monotonic() + min(patience_seconds, _STRANGER_SECONDS)
    while True:
        try:
            elastic.ask("GET", "/_security/_authenticate", patience_seconds=patience_seconds)
        except Refused as exc:
            if exc.status != HTTPStatus.UNAUTHORIZED or time.monotonic() >= deadline:
                raise
            time.sleep(1.0)
        else:
            return
