"""The folder and the webhook are built from the configuration, and say in one line what they lack."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.clock import FakeClock

from domain.errors import ConfigError
from ingest.source import LiveSource
from service.components import live_sources
from service.settings import load

SECRET = "a secret of more than thirty-two characters"


def build(name: str, toml: str, tmp_path: Path, **environ: str) -> LiveSource:
    config = tmp_path / "soundings.toml"
    config.write_text(toml)
    settings = load(config, environ={"SOUNDINGS_SOURCES_ENABLED": name, **environ})
    (source,) = live_sources(settings, (), FakeClock())
    return source


def test_the_folder_reads_files_as_they_are_configured(tmp_path: Path) -> None:
    toml = '[source.folder]\npath = "drop"\n[source.file]\ntimezone = "Europe/Berlin"\nname = "survey"\n'
    source = build("folder", toml, tmp_path)
    assert source.name == "folder"
    assert source.normalise.timezone == "Europe/Berlin"
    assert not source.normalise.backfilled


@pytest.mark.parametrize(("name", "setting"), [("folder", "source.folder.path"), ("webhook", "source.webhook.secret")])
def test_what_is_missing_is_one_line_with_the_setting_and_the_page(name: str, setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, "", tmp_path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{setting}: ")
    assert f"docs/sources/{name}.md" in problem


def test_the_secrets_of_the_webhook_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text(SECRET + "\n")
    toml = f'[source.webhook]\nold_secret_file = "{old}"\n'
    assert build("webhook", toml, tmp_path, SOUNDINGS_SOURCE_WEBHOOK_SECRET=SECRET[::-1]).name == "webhook"
    with pytest.raises(ConfigError, match=r"source\.webhook\.secret: no secret belongs in this file"):
        build("webhook", f'[source.webhook]\nsecret = "{SECRET}"\n', tmp_path)
