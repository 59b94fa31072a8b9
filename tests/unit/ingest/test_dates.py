"""Dates: every form that is understood, and everything else refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.dates import in_range, parse_date

MOMENT = datetime(2015, 2, 17, 7, 36, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2015-02-17T07:36:05Z",
        "2015-02-17T07:36:05+00:00",
        "2015-02-17 07:36:05",
        "2015-02-17 07:36:05 UTC",
        "2015-02-16 23:36:05 -0800",
        "2015-02-17T08:36:05.000+0100",
        "20150217T073605Z",
        "Tue, 17 Feb 2015 07:36:05 +0000",
        "17 Feb 2015 02:36:05 EST",
        "Tue Feb 17 07:36:05 +0000 2015",
        "Tue Feb 17 07:36:05 2015",
        1424158565,
        1424158565.0,
        1424158565000,
        "1424158565",
        "1424158565.0",
        "1424158565000",
        "1424158565000000",
        " 2015-02-17T07:36:05Z\n",
        MOMENT,
    ],
)
def test_a_date_is_read_in_every_usual_form(written: object) -> None:
    assert parse_date(written) == MOMENT


@pytest.mark.parametrize("written", [None, "", "  ", "NaN", "NaT", "null", "None", "n/a"])
def test_no_date_is_none(written: object) -> None:
    assert parse_date(written) is None


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "03/04/2015",
        "2015-02-30",
        "2015-02-17T25:00:00",
        "17 Foo 2015 07:36:05 +0000",
        "17 Feb 2015 07:36:05 XYZ",
        "2015",
        "12",
        True,
        ["2015-02-17"],
        {"$date": 1},
        float("nan"),
        float("inf"),
        10**30,
        "9" * 40_000,
        "\u0661\u0662\u0663",
    ],
)
def test_what_is_no_date_is_refused_and_never_made_up(written: object) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_date(written)


def test_a_naive_date_is_read_in_the_given_zone() -> None:
    assert parse_date("2015-02-17 08:36:05", zone=ZoneInfo("Europe/Berlin")) == MOMENT


def test_formats_come_first() -> None:
    assert parse_date("03/04/2015 10:00", formats=("%d/%m/%Y %H:%M",)) == datetime(2015, 4, 3, 10, tzinfo=UTC)


def test_only_times_between_1990_and_tomorrow_can_be_a_posts() -> None:
    assert in_range(MOMENT, now=MOMENT)
    assert not in_range(datetime(1823, 2, 17, tzinfo=UTC), now=MOMENT)
    assert not in_range(datetime(2999, 2, 17, tzinfo=UTC), now=MOMENT)
