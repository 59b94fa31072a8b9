"""The configuration is read whole, every problem is told at once, and nothing is guessed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from domain.errors import ConfigError
from search.elastic_settings import ElasticSettings
from service.settings import find_config, from_json, load, to_json
from service.settings_table import CLUSTER_SETTINGS, SETTINGS
from stream.kafka_settings import KafkaSettings

GOOD = """
[web]
port = 9000
[data]
dir = "somewhere"
[source.file]
name = "reviews"
[source.file.columns]
text = "body"
likes = ""
[[brands]]
id = "acme"
name = "Acme"
query = "acme OR @acme"
handles = ["@acme"]
competitors = ["globex"]
[[brands]]
id = "globex"
query = "globex"
query_revision = 3
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "soundings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ or {}, columns=("id", "text", "likes"))
    return caught.value.problems


def test_a_file_gives_every_value_and_the_rest_are_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD), environ={}, columns=("id", "text", "likes"))
    assert (settings.web.port, settings.web.host) == (9000, "127.0.0.1")
    assert settings.data.dir == Path("somewhere")
    assert settings.file.name == "reviews"
    assert settings.file.columns == {"text": "body", "likes": ""}
    acme, globex = settings.brands
    assert (acme.name, acme.handles, acme.competitors) == ("Acme", ("acme",), ("globex",))
    assert (globex.name, globex.query_revision) == ("globex", 3)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    environ = {"SOUNDINGS_WEB_PORT": "9001", "SOUNDINGS_DATA_DIR": "from-environment", "HOME": "/x"}
    settings = load(path, environ=environ)
    assert (settings.web.port, settings.data.dir) == (9001, Path("from-environment"))
    settings = load(path, environ=environ, overrides={"data.dir": "from-option", "web.port": None})
    assert (settings.web.port, settings.data.dir) == (9001, Path("from-option"))


def test_without_any_file_all_settings_have_their_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={})
    assert (settings.origin, settings.brands, settings.data.dir) == (None, (), Path("soundings-data"))
    with pytest.raises(ConfigError, match="soundings init"):
        settings.require_brands()


def test_all_problems_are_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        colour = "red"
        [web]
        prot = 80
        host = 5
        [engine]
        kind = "int4"
        [data]
        disk_floor_mb = -1
        retention_days = true
        [source.file.columns]
        txt = "body"
        [[brands]]
        id = "Acme Corp"
        query = "acme"
        qeury = "x"
        [[brands]]
        id = "b"
        [[brands]]
        id = "b"
        query = "b"
        name = ""
        handles = "b"
        """,
    )
    found = "\n".join(problems_of(path, {"SOUNDINGS_WEB_PROT": "1", "SOUNDINGS_WEB_PORT": "x"}))
    for expected in (
        "colour: unknown key",
        "web.prot: unknown key; did you mean web.port?",
        "web.host: found 5, expected a text",
        "engine.kind: found 'int4', expected one of int8, exact, transformers, tiny",
        "data.disk_floor_mb: found -1, expected a whole number from 0",
        "data.retention_days: found true",
        "source.file.columns.txt: unknown field of a post; did you mean text?",
        "id: found 'Acme Corp', expected a slug such as 'acme-corp'",
        "qeury: unknown key; did you mean query?",
        "brand b: query: is missing",
        "brand b: id: used by an earlier brand too",
        "brand b: name: is empty, expected a text",
        "brand b: handles: found 'b', expected a list of texts",
        "environment: SOUNDINGS_WEB_PROT: unknown setting; did you mean SOUNDINGS_WEB_PORT?",
        "environment: SOUNDINGS_WEB_PORT: found 'x', expected a whole number",
    ):
        assert expected in found


def test_a_competitor_must_be_another_brand(tmp_path: Path) -> None:
    path = written(tmp_path, '[[brands]]\nid = "acme"\nquery = "acme"\ncompetitors = ["acne"]\n')
    assert "competitors: found 'acne', expected the id of another brand" in problems_of(path)[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[web\nport = 1", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"web = 3", "expected a table [web]"),
        (b"brands = 3", "expected tables that begin with [[brands]]"),
        (b"brands = [3]", "entry 1 is 3"),
        (b"[source.file]\ncolumns = 1", "expected a table of field"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_problem(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: ")
    assert expected in problem
    assert len(problem) < 400


def test_a_missing_file_is_told_and_a_folder_too(tmp_path: Path) -> None:
    assert "no such configuration file" in problems_of(tmp_path / "nowhere.toml")[0]
    assert "cannot be read" in problems_of(tmp_path)[0]


def test_the_file_looked_for_is_the_given_one_then_the_environments_then_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(None, {}) is None
    written(tmp_path, "")
    assert find_config(None, {}) == Path("soundings.toml")
    assert find_config(None, {"SOUNDINGS_CONFIG": "other.toml"}) == Path("other.toml")
    assert find_config(Path("given.toml"), {"SOUNDINGS_CONFIG": "other.toml"}) == Path("given.toml")


def test_settings_reach_a_child_unchanged(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD), environ={})
    assert from_json(to_json(settings)) == settings


def test_a_secret_comes_from_the_environment_or_a_file_and_is_never_shown(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("from-a-file\n")
    path = written(tmp_path, f'[web]\ntoken_file = "{kept}"\n')
    assert load(path, environ={}).web.token.reveal() == "from-a-file"
    settings = load(path, environ={"SOUNDINGS_WEB_TOKEN": "from-the-environment"})
    assert settings.web.token.reveal() == "from-the-environment"
    assert "from-the" not in f"{settings} {settings!r} {settings.web.token} {settings.web.token!r}"
    assert from_json(to_json(settings)) == settings


def test_a_secret_in_the_configuration_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    (problem,) = problems_of(written(tmp_path, '[web]\ntoken = "hunter2"\n'))
    assert "web.token: no secret belongs in this file: set SOUNDINGS_WEB_TOKEN" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b"hunter2\nhunter2\n", "more than one line"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_file_of_a_secret_that_cannot_be_used_is_one_clear_problem(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    kept = tmp_path / "token"
    if content is not None:
        kept.write_bytes(content)
    (problem,) = problems_of(written(tmp_path, f'[web]\ntoken_file = "{kept}"\n'))
    assert problem.startswith(f"web.token_file: {kept}: ")
    assert expected in problem
    assert "hunter2" not in problem


def test_a_list_in_the_environment_is_separated_by_commas(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""), environ={"SOUNDINGS_WEB_PROXY_ADDRESSES": "10.0.0.1, 10.1.0.0/16"})
    assert settings.web.proxy_addresses == ("10.0.0.1", "10.1.0.0/16")


def test_every_setting_has_its_own_environment_variable_and_a_meaning() -> None:
    assert len({setting.environment for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.meaning for setting in SETTINGS)


@pytest.mark.parametrize(("table", "kind"), [("kafka", KafkaSettings), ("elastic", ElasticSettings)])
def test_the_table_and_the_adapters_agree_on_names_and_defaults(table: str, kind: type) -> None:
    own = {field.name: field.default for field in dataclasses.fields(kind)}
    said = {
        setting.key.removeprefix(f"{table}."): setting.default
        for setting in CLUSTER_SETTINGS
        if setting.key.startswith(f"{table}.")
    }
    secrets = {name for name in said if f"{name}_file" in said}
    assert {name: said[name] for name in said if name.removesuffix("_file") not in secrets - {name}} == own


def test_passwords_of_the_cluster_are_shown_nowhere(tmp_path: Path) -> None:
    environ = {
        f"SOUNDINGS_{name}": "hunter2"
        for name in ("KAFKA_SASL_PASSWORD", "KAFKA_KEY_PASSWORD", "ELASTIC_PASSWORD", "ELASTIC_API_KEY")
    }
    settings = load(written(tmp_path, ""), environ=environ)
    assert settings.kafka.sasl_password == settings.elastic.api_key == "hunter2"
    assert "hunter2" not in f"{settings} {settings!r} {settings.kafka} {settings.elastic}"
    assert from_json(to_json(settings)) == settings


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("canary\r", "a line break or another control character"),
        ("can\nary", "a line break or another control character"),
        (" canary", "white space before or after it"),
        ("can\u00e4ry", "a character that is no ASCII"),
    ],
)
def test_a_key_that_no_header_can_carry_is_told_before_anything_runs(value: str, found: str) -> None:
    with pytest.raises(ConfigError) as told:
        load(environ={"SOUNDINGS_SOURCE_YOUTUBE_API_KEY": value})
    (problem,) = told.value.problems
    assert problem == f"environment: SOUNDINGS_SOURCE_YOUTUBE_API_KEY: found {found}, expected the secret alone"


def test_a_password_may_hold_any_letter() -> None:
    settings = load(environ={"SOUNDINGS_KAFKA_SASL_PASSWORD": "p\u00e4ss w\u00f6rd"})
    assert settings.kafka.sasl_password == "p\u00e4ss w\u00f6rd"
