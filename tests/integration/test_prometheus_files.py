"""Alert rules and the Grafana dashboard: well formed, proved by unit tests, and about metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.live_hackernews import environment, open_hackernews
from fakes.running_pipeline import post, running_pipeline, write_rows

from deploy.grafana.dashboard import DASHBOARD, written

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "soundings.rules.yml"
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
# Words of PromQL that are no metrics, and Prometheus' own metric of whether a target answered.
WORDS = {"and", "or", "unless", "by", "on", "group_left", "up", "ignoring", "without", "bool", "offset"}


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """Run promtool; what it complains of fails the test."""
    path = shutil.which("promtool")
    assert path, "found no promtool on PATH: run tests/install-promtool.sh"
    done = subprocess.run([path, *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics_in(expression: str) -> set[str]:
    """Give the names of metrics in an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(r"\b(by|on|group_left|ignoring|without)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"(?<![\w.])([a-z_][a-z0-9_]*)\b(?!\s*\()", bare)
    return set(names) - WORDS


def expressions() -> Iterator[tuple[str, str]]:
    """Give every expression that is shipped, with where it stands."""
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `/metrics` of a real pipeline says after it has seen posts and a bad one."""
    folder = tmp_path_factory.mktemp("prometheus")
    with open_hackernews() as world, running_pipeline(folder, environment(world)) as running:
        world.publish([100])
        running.replay(write_rows(folder / "posts.jsonl", [*(post(number) for number in range(50)), "{broken"]))
        awaited = ("source_behind_seconds{", "\nsoundings_alerts_evaluated_timestamp_seconds ")
        while running.client.get("/readyz").status_code != 200 or not all(
            name in running.client.get("/metrics").text for name in awaited
        ):
            time.sleep(0.1)
        return running.client.get("/metrics").text


def test_the_rules_are_well_formed_and_fire_when_they_must() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))
    promtool("test", "rules", str(ROOT / "tests" / "prometheus" / "soundings.rules.test.yml"))


def test_a_unit_test_proves_each_rule() -> None:
    tested = {
        one["alertname"]
        for test in yaml.safe_load((ROOT / "tests" / "prometheus" / "soundings.rules.test.yml").read_text())["tests"]
        for one in test["alert_rule_test"]
        if one["exp_alerts"]
    }
    assert tested == {name for name, _ in expressions() if name.startswith("Soundings")}


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_each_expression_names_only_metrics_that_the_pipeline_has(exposition: str, place: str, expression: str) -> None:
    there = {line.split("{")[0].split(" ")[0] for line in exposition.splitlines() if not line.startswith("#")}
    named = metrics_in(expression)
    assert named or "up" in expression
    assert named - there == set(), place


def test_the_names_of_metrics_are_found_in_expressions() -> None:
    found = metrics_in(
        'sum by (le, stage) (rate(a_bucket{x="b_c"}[5m])) / on (y) group_left (z) (c_total > 0) unless d'
    )
    assert found == {"a_bucket", "c_total", "d"}


def test_promtool_finds_nothing_wrong_with_what_is_exposed(exposition: str) -> None:
    promtool("check", "metrics", stdin=exposition)


def test_each_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"checked:{number}", "expr": expr} for number, (_, expr) in enumerate(expressions())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "checked", "rules": rules}]}))
    promtool("check", "rules", str(path))


def test_the_dashboard_is_as_described_and_its_panels_fit() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == written(), "run python -m deploy.grafana"
    panels: list[dict[str, Any]] = json.loads(written())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_is_given_the_datasource_that_the_dashboard_asks() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    panels = json.loads(written())["panels"]
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {source["uid"]}
