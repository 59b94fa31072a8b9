"""`soundings check`: every problem of the configuration at once."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from domain.brand import Brand
from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, read_settings
from service.terminal import safe

if TYPE_CHECKING:
    from service.alert_settings import AlertSettings


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)


def _run(options: Namespace) -> int:
    from domain.clock import SystemClock
    from service.alert_settings import alert_warnings
    from service.brand_check import query_problems, query_warnings
    from service.channels import channel_warnings, routes
    from service.components import connection_problems, engine_problems, file_source, live_sources, source_notes
    from service.web_access import access_problems

    settings, problems = read_settings(options)
    usable = []
    for brand in settings.brands:
        found = query_problems(brand)
        problems += found
        usable += [] if found else [brand]
    problems += access_problems(settings.web)
    problems += engine_problems(settings.engine)
    problems += connection_problems(settings)
    parts: list[Callable[[], object]] = [
        lambda: file_source(settings, "-"),
        lambda: live_sources(settings, usable, SystemClock()),
    ]
    if settings.alerts.enabled:
        parts.append(lambda: routes(settings.alerts.channels, settings.web.public_url, SystemClock()))
    if not problems:
        # Of a file that cannot be read, nobody knows whether it names a brand.
        parts.insert(0, settings.require_brands)
    for part in parts:
        try:
            part()
        except ConfigError as exc:
            problems += exc.problems
    warnings = [line for brand in settings.brands for line in query_warnings(brand)]
    warnings += alert_warnings(settings.alerts, [brand.brand_id for brand in settings.brands])
    warnings += channel_warnings(settings.alerts) if settings.alerts.enabled else []
    warnings += [] if problems else source_notes(settings, settings.brands, SystemClock())
    for warning in warnings:
        print(safe(f"warning: {warning}"), file=sys.stderr)
    if problems:
        raise ConfigError(problems)
    brands = f"{_count(settings.brands, 'brand')}: {_ids(settings.brands)}"
    print(f"{safe(str(settings.origin))}: fine: {brands}; alerts: {_alerts(settings.alerts)}")
    return 0


def _alerts(alerts: AlertSettings) -> str:
    if not alerts.enabled:
        return "off (alerts.enabled is false)"
    parts = [_count(alerts.rules, "rule"), _count(alerts.channels, "channel")]
    return ", ".join([*parts, _count(alerts.subscriptions, "subscription")])


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _ids(brands: Sequence[Brand]) -> str:
    shown = [brand.brand_id for brand in brands[:10]]
    return ", ".join(shown) + (f" and {len(brands) - 10} more" if len(brands) > 10 else "")


COMMAND = Command(
    "check",
    "Find every problem of the configuration at once.",
    "Opens nothing but the file, and a model of your own where it names one. Exit code 2 when there is a problem; "
    "warnings alone are fine.",
    _arguments,
    _run,
)
