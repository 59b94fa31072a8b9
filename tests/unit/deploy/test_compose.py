"""docker-compose.yml as Docker Compose's own loader resolves it, and what we ask of it beyond that."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import EXAMPLE, ROOT, Refused, example_values, load, variables

from service.settings import read
from service.supervisor import HEAPS
from service.web_access import access_problems

COMPOSE = ROOT / "docker-compose.yml"
OVERRIDE = ROOT / "deploy" / "compose.watch.yml"
OURS = ("certificates", "setup", "setup-kibana", "ingest", "enrich", "index", "alert", "dashboard")
ONCE = ("certificates", "setup", "setup-kibana")
SECRET = re.compile(r"PASSWORD|TOKEN|KEY|SECRET", re.IGNORECASE)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sh deploy/new-env.sh` writes."""
    path = tmp_path_factory.mktemp("compose") / "env"
    done = subprocess.run(["sh", ROOT / "deploy" / "new-env.sh"], capture_output=True, check=True)
    path.write_bytes(done.stdout)
    return path


@pytest.fixture(scope="module")
def project(env_file: Path) -> dict[str, Any]:
    return load(env_file, COMPOSE)


@pytest.fixture(scope="module")
def services(project: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = project["services"]
    return found


def test_every_part_of_the_cluster_is_there(services: dict[str, Any]) -> None:
    others = {"kafka", "elasticsearch", "kibana", "prometheus", "grafana"}
    assert set(services) == others | set(OURS)


def test_a_start_without_secrets_names_every_one_that_is_missing() -> None:
    with pytest.raises(Refused) as refused:
        load(EXAMPLE, COMPOSE)
    must, _ = example_values(EXAMPLE.read_text())
    for name in must:
        assert f"required variable {name} is missing a value: is empty; see .env.example" in str(refused.value)


@pytest.mark.parametrize("name", sorted(example_values(EXAMPLE.read_text())[0]))
def test_each_secret_alone_keeps_it_from_starting(name: str, env_file: Path, tmp_path: Path) -> None:
    without = tmp_path / "env"
    without.write_text(re.sub(rf"^{name}=.*$", f"{name}=", env_file.read_text(), flags=re.MULTILINE))
    with pytest.raises(Refused, match=f"required variable {name} is missing a value"):
        load(without, COMPOSE)


def test_every_variable_is_explained_and_every_explained_one_is_used() -> None:
    asked = variables(COMPOSE.read_text()) | variables(OVERRIDE.read_text())
    must, may = example_values(EXAMPLE.read_text())
    assert asked == set(must) | set(may)
    lines = EXAMPLE.read_text().splitlines()
    for name in must:
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{name}="))
        assert lines[place - 1].startswith("# "), f"{name} has no comment above it"


def test_the_defaults_that_the_example_shows_are_those_of_the_compose_file() -> None:
    text = COMPOSE.read_text() + OVERRIDE.read_text()
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    _, may = example_values(EXAMPLE.read_text())
    assert used == may


def test_no_secret_has_a_default_anywhere() -> None:
    must, may = example_values(EXAMPLE.read_text())
    assert set(must.values()) == {""}
    assert [name for name in may if SECRET.search(name)] == []
    for text in (COMPOSE.read_text(), OVERRIDE.read_text()):
        assert [name for name in re.findall(r"\$\{([A-Z_]+):?-", text) if SECRET.search(name)] == []


def test_every_secret_of_a_service_comes_from_the_env_file(services: dict[str, Any], env_file: Path) -> None:
    given = set(example_values(env_file.read_text())[0].values())
    for name, service in services.items():
        for key, value in (service.get("environment") or {}).items():
            if SECRET.search(key) and not key.lower().endswith((".ssl.key",)):
                assert value in given, f"{name}: {key} does not come from .env"


def test_random_values_are_long_and_all_different(env_file: Path) -> None:
    values, _ = example_values(env_file.read_text())
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch("[A-Za-z0-9]{40}", value) for name, value in values.items() if name != "KAFKA_CLUSTER_ID")
    assert re.fullmatch("[A-Za-z0-9]{22}", values["KAFKA_CLUSTER_ID"])


def test_every_image_has_an_exact_tag(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+", service["image"]), f"{name}: {service['image']}"
    froms = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(froms) == 2
    assert len(set(froms)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", froms[0])


def test_servers_are_of_the_versions_that_the_tests_run(services: dict[str, Any]) -> None:
    poms = ROOT / "tests" / "servers"
    kafka = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([\d.]+)<", (poms / "kafka-pom.xml").read_text())
    elastic = re.search(
        r"<artifactId>elasticsearch</artifactId>\s*<version>([\d.]+)<", (poms / "elastic-pom.xml").read_text()
    )
    assert kafka is not None
    assert elastic is not None
    assert services["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert services["elasticsearch"]["image"] == f"elasticsearch:{elastic[1]}"
    assert services["kibana"]["image"] == f"kibana:{elastic[1]}"


def test_every_service_is_limited_and_gives_up_its_privileges(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["mem_limit"]) >= 64 << 20, name
        assert 0 < service["cpus"] <= 2, name
        assert service["pids_limit"] == 1024, name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("cap_add"), name
        assert not service.get("privileged"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name


def test_our_own_services_write_only_where_they_must(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        assert service["read_only"], name
        assert service["tmpfs"] == ["/tmp:size=64m,mode=1777"], name
        assert not service.get("user"), f"{name}: the image's own user is not root"
        writable = {volume["target"] for volume in service.get("volumes", []) if not volume.get("read_only")}
        assert writable <= {"/data", "/certificates"}, name
    assert [
        name
        for name in OURS
        if name != "certificates"
        for v in services[name].get("volumes", [])
        if v["target"] == "/certificates" and not v.get("read_only")
    ] == []


def test_every_service_has_a_healthcheck_and_one_shots_have_none(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONCE:
            assert service["restart"] == "no", name
            assert service["healthcheck"] == {"disable": True}, name
        else:
            assert service["restart"] == "unless-stopped", name
            assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"]), name


@pytest.mark.parametrize("name", ["setup", "ingest", "enrich", "index", "alert", "dashboard"])
def test_the_settings_that_a_worker_is_given_are_settings(name: str, services: dict[str, Any]) -> None:
    environment = {key: value for key, value in services[name]["environment"].items() if key != "SOUNDINGS_CONFIG"}
    settings, problems = read(ROOT / "deploy" / "soundings.toml", environ=environment)
    assert problems == []
    assert access_problems(settings.web) == []
    assert (settings.log.kind, settings.store.kind, settings.health.port) == ("kafka", "elastic", 9100)


def test_the_secrets_of_channels_are_given_to_who_tells_and_to_no_other() -> None:
    composed = yaml.safe_load(COMPOSE.read_text())["services"]
    given = [name for name, one in composed.items() if ".env.alerts" in str(one.get("env_file"))]
    assert given == ["alert"]
    assert "/.env.alerts" in (ROOT / ".gitignore").read_text().splitlines()


def test_prometheus_finds_every_worker_and_grafana_finds_prometheus(services: dict[str, Any]) -> None:
    scraping = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (lookup,) = (one for job in scraping["scrape_configs"] for one in job["dns_sd_configs"])
    workers = {name for name, one in services.items() if "SOUNDINGS_HEALTH_PORT" in (one.get("environment") or {})}
    assert set(lookup["names"]) == workers - {"setup"}
    for name in lookup["names"]:
        assert services[name]["environment"]["SOUNDINGS_HEALTH_PORT"] == str(lookup["port"])
        assert "watch" in services[name]["networks"]
        assert f"http://127.0.0.1:{lookup['port']}/readyz" in services[name]["healthcheck"]["test"][-1]
    sources = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(sources.read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, need in (service.get("depends_on") or {}).items():
            expected = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert need == {"condition": expected, "required": True}, f"{name} -> {other}"
    for name in ("ingest", "enrich", "index", "alert", "dashboard", "kibana"):
        assert "setup" in services[name]["depends_on"]
    waiting = [name for name, service in services.items() if "kibana" in (service.get("depends_on") or {})]
    assert waiting == ["setup-kibana"], "no worker waits for Kibana"


def test_only_the_dashboard_and_kibana_are_published_and_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"dashboard", "kibana"}
    for ports in published.values():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"]
    assert [name for name, service in services.items() if service.get("network_mode") == "host"] == []


def test_only_what_must_reaches_the_outside_and_the_log(project: dict[str, Any], services: dict[str, Any]) -> None:
    inside = {name for name, network in project["networks"].items() if network.get("internal")}
    assert inside == {"log", "search", "watch"}
    outside = {name for name, service in services.items() if "outside" in (service.get("networks") or {})}
    # The index worker asks Bluesky and Hacker News what posts have earned since (decision 19), alert sends messages.
    assert outside == {"ingest", "index", "alert", "dashboard", "kibana"}
    on_log = {name for name, service in services.items() if "log" in (service.get("networks") or {})}
    # Kafka asks nobody who they are.
    assert on_log == {"kafka", "setup", "ingest", "enrich", "index", "alert", "dashboard"}


def test_every_mounted_file_is_in_the_repository(services: dict[str, Any], project: dict[str, Any]) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if volume["type"] == "volume":
                # One without a name is each container's own: of these several may run.
                assert volume.get("source") in (project["volumes"] if volume["target"] != "/data" else {None})
                continue
            assert volume["read_only"], f"{name}: {volume['source']}"
            place = Path(volume["source"]).relative_to(ROOT).as_posix()
            assert any(file == place or file.startswith(f"{place}/") for file in tracked), f"{name}: {place}"


def test_grafana_is_published_on_loopback_only_when_asked_for(env_file: Path) -> None:
    services = load(env_file, COMPOSE, OVERRIDE)["services"]
    assert [port["host_ip"] for port in services["grafana"]["ports"]] == ["127.0.0.1"]


def test_the_loader_refuses_what_compose_does_not_know(tmp_path: Path, env_file: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("    mem_limit: 2g\n", "    memory_limit: 2g\n", 1))
    with pytest.raises(Refused, match="memory_limit"):
        load(env_file, wrong)


# --- the image


def _copied() -> list[str]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]]


def test_the_image_holds_every_room_and_what_it_is_built_from_exists() -> None:
    copied = _copied()
    assert [name for name in copied if not (ROOT / name).exists()] == []
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert rooms <= set(copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed


def test_the_image_runs_as_a_number_that_is_not_root_and_asks_for_pinned_packages() -> None:
    text = (ROOT / "Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users[-1:] == ["10001:0"]
    installs = re.findall(r"pip install [^\n]*", text)
    assert installs
    assert all("--constraint constraints.txt" in install for install in installs)
    assert not re.search(r"PASSWORD|TOKEN|SECRET", text)


def test_a_worker_of_the_image_has_as_many_heaps_as_one_on_a_laptop() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert {name: re.findall(rf"\b{name}=(\S+)", text) for name in HEAPS} == {
        name: [value] for name, value in HEAPS.items()
    }


@pytest.mark.parametrize("script", ["certificates.sh", "new-env.sh"])
def test_a_script_of_deploy_is_plain_shell(script: str) -> None:
    shell = shutil.which("dash") or "/bin/sh"
    assert subprocess.run([shell, "-n", ROOT / "deploy" / script], check=False).returncode == 0
