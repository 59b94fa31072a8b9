"""The folder and the webhook are built from the configuration, and say in one line what they lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock

from domain.errors import ConfigError
from ingest.normalise import NormaliserSettings
from ingest.source import LiveSource
from service.components import file_source
from service.settings import load
from service.sources import SOURCE_KINDS
from service.sources.kind import SourceContext

SECRET = "a secret of more than thirty-two characters"


def build(name: str, toml: str, tmp_path: Path, **environ: str) -> LiveSource:
    config = tmp_path / "soundings.toml"
    config.write_text(toml)
    settings = load(config, environ=environ)
    values: Any = settings.sources.values[name]
    (kind,) = [kind for kind in SOURCE_KINDS if kind.name == name]
    return kind.build(
        SourceContext(
            values=values,
            normalise=NormaliserSettings(),
            brands=(),
            clock=FakeClock(),
            rows=file_source(settings, "-").settings,
        )
    )


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
