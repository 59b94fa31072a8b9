"""Index templates, the indices that are always there, and retention: what `soundings setup` does in Elasticsearch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from domain.errors import ConfigError
from search.elastic_http import Elastic
from search.elastic_months import find_months, leftovers, troubles
from search.elastic_reads import month_indices
from search.elastic_settings import ElasticSettings

# Raise in every file of `mapping/` whose fields change, and tell in the docs whether `soundings migrate` is needed.
MAPPINGS: Final = Path(__file__).with_name("mapping")
# Made at once; the months are made when their first mention comes.
FIXED: Final = ("tombstones", "retractions", "stories", "events", "dead", "documents", "alerts")
# Prefixes of others that are told where ours is not there.
_SHOWN: Final = 5
# Settings that follow the configuration, and that an index takes at any time.
_DYNAMIC: Final = ("number_of_replicas", "refresh_interval")


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

    Running it again changes nothing. Indices that exist are given fields that are new, and the replicas and the
    refresh interval of the settings.

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


def _brought_up_to_date(elastic: Elastic, index: str, wanted: Mapping[str, Any]) -> str:
    """Give an index the fields and the settings that it lacks, where that is possible while it is in use."""
    done = [*_settings_set(elastic, index, wanted), *_fields_added(elastic, index, wanted)]
    return "; ".join(done) or "as it should be"


def _settings_set(elastic: Elastic, index: str, wanted: Mapping[str, Any]) -> list[str]:
    """Set what may be set at any time, how many replicas there are and how soon writes are found."""
    other = _other_settings(elastic, index, wanted)
    if other:
        body = {"index": {name: value for name, (_, value) in other.items()}}
        elastic.ask("PUT", f"/{index}/_settings", body)
    return [f"{name} was {found}, is {value} now" for name, (found, value) in other.items()]


def _other_settings(elastic: Elastic, index: str, wanted: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Give the settings of `_DYNAMIC` that are otherwise than wanted: name -> (found, wanted)."""
    names = ",".join(f"index.{name}" for name in _DYNAMIC)
    answer = elastic.ask("GET", f"/{index}/_settings/{names}", parameters={"flat_settings": "true"})
    about = wanted["template"]["settings"]["index"]
    return {
        name: (found, str(about[name]))
        for one in answer.body.values()
        for name in _DYNAMIC
        if (found := one["settings"].get(f"index.{name}", "not set")) != str(about[name])
    }


def differences(elastic: Elastic, settings: ElasticSettings) -> list[str]:
    """Give what `prepare` or a migration would change, a line each, without changing it; none when all is well."""
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
        for name, (was, will) in _other_settings(elastic, index, expected).items():
            lines.append(f"index {index}: {name} is {was}, the settings say {will}: run `soundings setup`")
    return lines + leftovers(find_months(elastic, settings.names))


def month_troubles(elastic: Elastic, settings: ElasticSettings) -> list[str]:
    """Give what keeps months from being written to or read, a line each, with how to mend it; none when all is well."""
    return troubles(find_months(elastic, settings.names), settings.names)


def check_ready(elastic: Elastic, settings: ElasticSettings, name: str = "tombstones") -> None:
    """Check that setup has run here, before anything is written; `name` is one of FIXED, that will be written to.

    Raises:
        ConfigError: it has not, or a newer program's has.
        RetryLater, BackendDown.
    """
    index = f"{settings.prefix}{name}"
    answer = elastic.ask("GET", f"/{index}/_mapping", also=(404,), patient=True)
    if answer.status == 404:
        raise ConfigError(_not_set_up(elastic, settings, index))
    expected = _version(template(name, settings))
    for mapping in answer.body.values():
        found = int(mapping["mappings"].get("_meta", {}).get("template_version", 0))
        if found == 0:
            raise ConfigError(f"the index {index} was made without our template: remove it and run `soundings setup`")
        if found < expected:
            raise ConfigError(f"the index {index} has version {found}, expected {expected}: run `soundings setup`")
        if found > expected:
            raise ConfigError(f"the index {index} has version {found}, this program reads {expected}: use a newer one")


def _not_set_up(elastic: Elastic, settings: ElasticSettings, index: str) -> str:
    """Tell what was looked for, what is there of other prefixes, and what to try."""
    answer = elastic.ask("GET", "/*tombstones/_alias", also=(401, 403, 404))
    others = sorted(index.removesuffix("tombstones") for index in answer.body) if answer.status == 200 else []
    shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
    found = f"found those of the prefix {shown}" if others else "found nothing of ours"
    if settings.prefix in others:
        return f"the index {index} is missing, which is newer than this prefix: run `soundings setup`"
    return (
        f"elastic.prefix: looked for the index {index} at {', '.join(settings.hosts)}, {found}: "
        f"{'check the prefix, or ' if others else ''}run `soundings setup` first"
    )


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
    other = _other_than(found, wanted) if found else []
    if found and not other and _version(found) == _version(wanted):
        return f"version {_version(wanted)}, as it should be"
    elastic.ask("PUT", f"/_index_template/{settings.prefix}{name}", wanted)
    if not found:
        return f"version {_version(wanted)} installed"
    if _version(found) != _version(wanted):
        return f"version {_version(found)} replaced by {_version(wanted)}"
    return f"version {_version(wanted)} installed again: {', '.join(other)}"


def _fields_added(elastic: Elastic, index: str, wanted: Mapping[str, Any]) -> list[str]:
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
        return [line, "other fields differ: run `soundings migrate`"] if other else [line]
    version = int(mapping.get("_meta", {}).get("template_version", 0))
    return [] if version == _version(wanted) else [f"made with version {version}: run `soundings migrate`"]


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = body["template"].get("mappings", {}).get("properties", {})
    return {name: _plain(field) for name, field in fields.items()}


def _other_than(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Give in what a template differs from the one that is wanted, as people would say it."""
    was, will = found["template"].get("settings", {}).get("index", {}), wanted["template"]["settings"]["index"]
    other = [
        f"{name} was {was.get(name, 'not set')}, is {will[name]} now"
        for name in _DYNAMIC
        if str(was.get(name, "")) != str(will[name])
    ]
    if sorted(found.get("index_patterns", ())) != sorted(wanted["index_patterns"]):
        other.append("its index_patterns had been changed")
    if _fields(found) != _fields(wanted):
        other.append("its fields had been changed")
    return other


def _plain(field: Mapping[str, Any]) -> dict[str, str]:
    """Give a field as Elasticsearch gives it back, whatever type its values were."""
    return {name: str(value).lower() for name, value in field.items()}


def _version(body: Mapping[str, Any]) -> int:
    return int(body.get("_meta", {}).get("template_version", 0))
