"""Settings of Elasticsearch: what is wrong with them, and what is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from search.elastic_settings import ElasticSettings, Names, problems_of


def test_the_defaults_are_fine() -> None:
    assert problems_of(ElasticSettings()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hosts": ()}, "hosts"),
        ({"hosts": ("elastic:9200",)}, "hosts"),
        ({"hosts": ("ftp://elastic",)}, "hosts"),
        ({"hosts": ("https://me:secret@elastic",)}, "password"),
        ({"api_key": "k", "user": "u", "password": "p"}, "one of both"),
        ({"user": "u"}, "expected both"),
        ({"ca_file": "/nowhere/ca.crt"}, "ca_file"),
        ({"prefix": "Upper-"}, "prefix"),
        ({"prefix": "a*"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"retry_seconds": 0.0}, "retry_seconds"),
        ({"bulk_bytes": 10}, "bulk_bytes"),
        ({"bulks_in_flight": 0}, "bulks_in_flight"),
        ({"replicas": -1}, "replicas"),
    ],
)
def test_each_problem_is_named(changed: dict[str, Any], said: str) -> None:
    (problem,) = problems_of(ElasticSettings(**changed))
    assert said in problem
    assert "secret" not in problem


def test_secrets_are_not_shown() -> None:
    shown = repr(ElasticSettings(api_key="hush-key", password="hush-word"))
    assert "hush" not in shown


@pytest.mark.parametrize("month", ["2026.3", "2026.13", "2026-03", "1969.12", "2026.03,other", "../x", "2026.03\n", ""])
def test_only_months_become_names(month: str) -> None:
    with pytest.raises(ValueError, match="month"):
        Names("soundings-").month(month)


def test_names_begin_with_the_prefix() -> None:
    assert Names("soundings-").month("2026.03") == "soundings-mentions-2026.03"
