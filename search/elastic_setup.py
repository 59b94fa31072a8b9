"""Index templates, the indices that are always there, and retention: what `soundings setup` does in Elasticsearch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from domain.errors import ConfigError
from search.elastic_http import Elastic
from search.elastic_reads import month_indices
from search.elastic_settings import ElasticSettings

# Raise in every file of `mapping/` whose fields change, and tell in the docs whether `soundings migrate` is needed.
MAPPINGS: Final = Path(__file__).with_name("mapping")
# Made at once; the months are made when their first mention comes.
FIXED: Final = ("tombstones", "retractions", "stories", "events", "dead")
_MONTH: Final = re.compile(r"-(20\d\d\.\d\d)(?:-|$)", re.ASCII)


def template(name: str, settings: ElasticSettings) -> dict[str, Any]:
    """Give the template of `mapping/<name>.json` for this prefix."""
    body: dict[str, Any] = json.loads((MAPPINGS / f"{name}.json").read_text("utf-8"))
    index = f"{settings.prefix}{name}"
    months = name == "mentions"
    body["index_patterns"] = [f"{index}-*"] if months else [index]
    about = body["template"]["settings"]["index"]
    about["number_of_replicas"] = settings.replicas
    if about["refresh_interval"] != "-1":
        about["refresh_interval"] = f"{round(settings.refresh_seconds * 1_000)}ms"
    if months:
        body["template"]["aliases"] = {index: {}}
    return body


def prepare(elastic: Elastic, settings: ElasticSettings) -> list[str]:
    """Install templates and make the fixed indices; give what was done and what differs, a line each.

    Running it again changes nothing. Fields that are new are added to indices that exist.

    Raises:
        ConfigError: a newer program's templates are there; nothing is changed then.
        RetryLater, BackendDown.
    """
    names = ("mentions", *FIXED)
    wanted = {name: template(name, settings) for name in names}
    found = {name: _installed(elastic, settings, name) for name in names}
    newer = [
        f"template {settings.prefix}{name}: found version {version}, this program has {_version(wanted[name])}: "
        "use the program that installed it"
        for name in names
        if (version := _version(found[name])) > _version(wanted[name])
    ]
    if newer:
        raise ConfigError(newer)
    done = []
    for name in names:
        line = _install(elastic, settings, name, wanted[name], found[name])
        done.append(f"template {settings.prefix}{name}: {line}")
    for name in FIXED:
        index = f"{settings.prefix}{name}"
        # Another setup may be sooner, and make it from the same template.
        made = elastic.ask("PUT", f"/{index}", {}, also=(400,)).status == 200
        done.append(f"index {index}: {'made' if made else _brought_up_to_date(elastic, index, wanted[name])}")
    for index in month_indices(elastic, settings.names):
        done.append(f"index {index}: {_brought_up_to_date(elastic, index, wanted['mentions'])}")
    return done


def differences(elastic: Elastic, settings: ElasticSettings) -> list[str]:
    """Give what `prepare` would change, a line each, without changing it; none when all is as it should be."""
    lines = []
    for name in ("mentions", *FIXED):
        wanted, found = template(name, settings), _installed(elastic, settings, name)
        if not found:
            lines.append(f"template {settings.prefix}{name} is missing: run `soundings setup`")
        elif _version(found) != _version(wanted):
            lines.append(
                f"template {settings.prefix}{name} has version {_version(found)}, this program {_version(wanted)}: "
                "run `soundings setup`"
            )
    for index in [f"{settings.prefix}{name}" for name in FIXED] + month_indices(elastic, settings.names):
        answer = elastic.ask("GET", f"/{index}/_mapping", also=(404,))
        if answer.status == 404:
            lines.append(f"index {index} is missing: run `soundings setup`")
            continue
        expected = template(_name_of(index, settings), settings)
        for mapping in answer.body.values():
            version = int(mapping["mappings"].get("_meta", {}).get("template_version", 0))
            if version != _version(expected):
                lines.append(f"index {index} was made with version {version}: run `soundings migrate`")
    return lines


def check_ready(elastic: Elastic, settings: ElasticSettings) -> None:
    """Check that setup has run here, before anything is written.

    Raises:
        ConfigError: it has not, or a newer program's has.
        RetryLater, BackendDown.
    """
    index = settings.names.tombstones
    answer = elastic.ask("GET", f"/{index}/_mapping", also=(404,), patient=True)
    if answer.status == 404:
        raise ConfigError(f"Elasticsearch has no index {index}: run `soundings setup` first")
    expected = _version(template("tombstones", settings))
    for mapping in answer.body.values():
        found = int(mapping["mappings"].get("_meta", {}).get("template_version", 0))
        if found == 0:
            raise ConfigError(f"the index {index} was made without our template: remove it and run `soundings setup`")
        if found < expected:
            raise ConfigError(f"the index {index} has version {found}, expected {expected}: run `soundings setup`")
        if found > expected:
            raise ConfigError(f"the index {index} has version {found}, this program reads {expected}: use a newer one")


def drop_months(elastic: Elastic, settings: ElasticSettings, before: datetime) -> list[str]:
    """Remove the indices of whole months before the one that holds `before`; give the months that went.

    Tombstones stay: a replay may be older than what is kept.
    """
    gone = months_before(elastic, settings, before)
    for indices in gone.values():
        for index in indices:
            elastic.ask("DELETE", f"/{index}", also=(404,))
    return sorted(gone)


def months_before(elastic: Elastic, settings: ElasticSettings, before: datetime) -> dict[str, list[str]]:
    """Give the months before the one that holds `before`, as `YYYY.MM`, with their indices."""
    found: dict[str, list[str]] = {}
    for index in month_indices(elastic, settings.names):
        month = _MONTH.search(index)
        if month and month[1] < before.strftime("%Y.%m"):
            found.setdefault(month[1], []).append(index)
    return found


def _name_of(index: str, settings: ElasticSettings) -> str:
    rest = index.removeprefix(settings.prefix)
    return rest if rest in FIXED else "mentions"


def _installed(elastic: Elastic, settings: ElasticSettings, name: str) -> dict[str, Any]:
    answer = elastic.ask("GET", f"/_index_template/{settings.prefix}{name}", also=(404,))
    if answer.status == 404 or not answer.body["index_templates"]:
        return {}
    found: dict[str, Any] = answer.body["index_templates"][0]["index_template"]
    return found


def _install(
    elastic: Elastic, settings: ElasticSettings, name: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> str:
    if found and _fields(found) == _fields(wanted) and _about(found) == _about(wanted):
        return f"version {_version(wanted)}, as it should be"
    elastic.ask("PUT", f"/_index_template/{settings.prefix}{name}", wanted)
    if not found:
        return f"version {_version(wanted)} installed"
    if _version(found) != _version(wanted):
        return f"version {_version(found)} replaced by {_version(wanted)}"
    return f"version {_version(wanted)} had been changed, and is installed again"


def _brought_up_to_date(elastic: Elastic, index: str, wanted: Mapping[str, Any]) -> str:
    """Add what fields an index lacks, where that is possible."""
    answer = elastic.ask("GET", f"/{index}/_mapping")
    (mapping,) = (one["mappings"] for one in answer.body.values())
    found, expected = mapping.get("properties", {}), _fields(wanted)
    missing = {name: field for name, field in expected.items() if name not in found}
    if missing:
        body = {"properties": missing, "_meta": {"template_version": _version(wanted)}}
        other = any(found[name].get("type") != field.get("type") for name, field in expected.items() if name in found)
        if other:
            body.pop("_meta")
        elastic.ask("PUT", f"/{index}/_mapping", body)
        line = f"{len(missing)} new fields ({', '.join(sorted(missing))}), empty in what is there already"
        return f"{line}; other fields differ: run `soundings migrate`" if other else line
    version = int(mapping.get("_meta", {}).get("template_version", 0))
    return "as it should be" if version == _version(wanted) else f"made with version {version}: run `soundings migrate`"


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = body["template"]["mappings"]["properties"]
    return {name: _plain(field) for name, field in fields.items()}


def _about(body: Mapping[str, Any]) -> tuple[object, ...]:
    about = body["template"]["settings"]["index"]
    return (
        int(about.get("number_of_replicas", -1)),
        str(about.get("refresh_interval")),
        sorted(body.get("index_patterns", ())),
        _version(body),
    )


def _plain(field: Mapping[str, Any]) -> dict[str, str]:
    """Give a field as Elasticsearch gives it back, whatever type its values were."""
    return {name: str(value).lower() for name, value in field.items()}


def _version(body: Mapping[str, Any]) -> int:
    return int(body.get("_meta", {}).get("template_version", 0))
