"""`soundings migrate` and `soundings drop-months`: the monthly indices of Elasticsearch, written anew and removed."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import closing
from datetime import UTC, datetime, timedelta

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.settings import Settings
from service.terminal import safe


def _migrate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--every", action="store_true", help="also months that the present template made")
    add_config(parser)
    add_data_dir(parser)


def _migrate(options: Namespace) -> int:
    from search.elastic_bulk import Bulk
    from search.elastic_http import Elastic
    from search.elastic_migrate import migrate
    from search.elastic_setup import check_ready
    from service.progress import progress_view, tell_stage

    settings = _over_elastic(load_settings(options)).elastic
    with (
        closing(Elastic(settings)) as elastic,
        closing(Bulk(elastic, settings)) as bulk,
        progress_view("migrate") as view,
    ):
        check_ready(elastic, settings)

        def told(index: str, written: int) -> None:
            tell_stage(view, index)(written)

        lines = migrate(elastic, bulk, settings, every=options.every, progress=told)
    for line in lines or ["no months are there yet"]:
        print(safe(line))
    return 0


def _drop_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--before",
        type=_month,
        metavar="YYYY-MM",
        help="first month that stays (else the month that lies data.retention_days back)",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without this it only tells which months would go")
    add_config(parser)
    add_data_dir(parser)


def _drop(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.elastic import ElasticStore
    from search.elastic_drop import months_before
    from search.elastic_months import shown

    settings = _over_elastic(load_settings(options))
    kept = options.before or SystemClock().now() - timedelta(days=settings.data.retention_days)
    # Opened as by a writer: that looks whether anything of ours is there.
    with closing(ElasticStore.open(settings.elastic)) as store:
        if options.yes:
            told = {
                month: f"removed, with {posts:,} posts of stories" for month, posts in store.drop_months(kept).items()
            }
        else:
            found = months_before(store.elastic, settings.elastic, kept)
            told = {one.month: "would be removed; --yes does it" for one in found}
    for month in sorted(told):
        print(f"{shown(month)}: {told[month]}")
    if not told:
        print(f"no month before {kept:%Y-%m} is there")
    return 0


def _month(text: str) -> datetime:
    found = re.fullmatch(r"(\d{4})-(\d{2})", text, re.ASCII)
    if not found or not (int(found[1]) >= 1 and 1 <= int(found[2]) <= 12):
        raise ArgumentTypeError(f"found {text!r}, expected a month as in 2026-01")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def _over_elastic(settings: Settings) -> Settings:
    """Give the settings back if the store is Elasticsearch.

    Raises:
        ConfigError: it is not.
    """
    if settings.store.kind != "elastic":
        raise ConfigError(f"store.kind: is {settings.store.kind}, which has no monthly indices; nothing is to be done")
    from service.components import require_extra

    require_extra("store.kind", settings.store.kind, "elastic_transport")
    return settings


MIGRATE = Command(
    "migrate",
    "Write the months of Elasticsearch anew under the present template.",
    "After an upgrade whose `soundings setup` tells of a new version of a template. Workers go on; each month is\n"
    "switched at one moment, and writes to it wait for some seconds before. Needs to read and write documents and to\n"
    "make and remove indices (the role `it`). A run that was cut off is simply started again, and clears away what\n"
    "that one left: workers wait meanwhile. Run one at a time.",
    _migrate_arguments,
    _migrate,
)
DROP_MONTHS = Command(
    "drop-months",
    "Remove whole months of mentions that are no longer kept from Elasticsearch.",
    "Tells which months would go; with --yes they do, for good, and with them what the stories kept of their posts.\n"
    "What was retracted or withdrawn stays known. Needs to write documents and to remove indices (the role `it`).\n"
    "A run that was cut off is simply started again.",
    _drop_arguments,
    _drop,
)
