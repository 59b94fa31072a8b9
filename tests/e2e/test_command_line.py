"""The commands as people meet them: help for each, one clear line for every mistake, no hostile text."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from e2e.command_line import ROOT, Soundings, write_posts

from service.cli import COMMANDS
from service.listening import listen
from service.reference import commands_page, configuration_page, metrics_page


def refused(soundings: Soundings, *arguments: str) -> str:
    """Run a command that must end with exit code 2; gives what it says."""
    done = soundings.run(*arguments)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_has_help(soundings: Soundings, name: str) -> None:
    done = soundings.run(name, "--help")
    assert done.returncode == 0
    summary = next(command.summary for command in COMMANDS if command.name == name)
    assert summary in done.stdout


def test_the_generated_pages_are_up_to_date() -> None:
    pages = {"commands.md": commands_page(), "configuration.md": configuration_page(), "metrics.md": metrics_page()}
    for name, page in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, "run python -m service.reference"


@pytest.mark.parametrize("example", ["airlines.toml", "sample.toml"])
def test_the_examples_are_fine(soundings: Soundings, example: str) -> None:
    done = soundings.run("check", "--config", str(ROOT / "examples" / example))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_missing_a_folder_or_holds_nothing_is_one_clear_line(
    soundings: Soundings, tmp_path: Path
) -> None:
    assert "there is no such file" in refused(soundings, "replay", "nowhere.jsonl")
    assert "found a folder" in refused(soundings, "replay", str(tmp_path))
    (tmp_path / "empty.jsonl").write_text("")
    assert "holds no row at all" in refused(soundings, "replay", "empty.jsonl", "--engine", "tiny")
    assert "there is no such file" in refused(soundings, "try", "nowhere.jsonl")
    assert "there is no such file" in refused(soundings, "up", "--replay", "nowhere.jsonl")


def test_a_file_of_which_no_row_maps_is_told_with_the_reason_and_can_be_tried_again(
    soundings: Soundings, tmp_path: Path
) -> None:
    path = write_posts(tmp_path / "other.jsonl", [{"id": str(n), "words": "@acme"} for n in range(20)])
    told = refused(soundings, "replay", str(path), "--json", "--engine", "tiny")
    assert "no row can be read as a post (20 missing_text)" in told
    soundings.config.write_text(soundings.config.read_text() + '\n[source.file.columns]\ntext = "words"\n')
    assert soundings.replay(path)["matched"] == 20


def test_names_that_hold_control_characters_are_told_without_them(soundings: Soundings) -> None:
    hostile = "a\x1b[31m\x9bb\u202e"
    for arguments in (
        ["replay", hostile],
        ["try", hostile],
        ["up", "--replay", hostile],
        ["search", "acme", "--data-dir", hostile],
        ["search", "acme", "--config", hostile],
        ["search", f"({hostile}"],
        ["search", "acme", hostile],
        ["search", "acme", "--sentiment", hostile],
        [hostile],
    ):
        told = refused(soundings, *arguments)
        assert "a\ufffd[31m" in told or r"a\x1b[31m" in told
        assert not any(sign in told for sign in ("\x1b", "\x9b", "\u202e"))
    soundings.config.write_text('"\\u001b[31m" = 1\n[[brands]]\nid = "a\\u001b"\n')
    assert "\x1b" not in refused(soundings, "check")


def test_a_name_longer_than_any_path_is_one_clear_line(soundings: Soundings) -> None:
    long = "x" * 5_000
    for arguments in (
        ["replay", long],
        ["try", long],
        ["up", "--replay", long],
        ["search", "acme", "--data-dir", long],
        ["replay", str(soundings.config), "--data-dir", long],
        ["search", "acme", "--config", long],
        ["check", "--config", long],
        ["init", "Acme", "--output", long],
    ):
        (told,) = refused(soundings, *arguments).splitlines()
        assert told.endswith("File name too long") or "File name too long;" in told


def test_a_gzip_with_one_byte_flipped_is_refused_and_nothing_of_it_is_stored(
    soundings: Soundings, posts_file: Path
) -> None:
    raw = bytearray(gzip.compress(posts_file.read_bytes(), compresslevel=0))
    raw[raw.index(b'"text"') + 9] ^= 0x01
    (soundings.folder / "posts.jsonl.gz").write_bytes(raw)
    for command in ("replay", "try"):
        (told,) = refused(soundings, command, "posts.jsonl.gz", "--engine", "tiny").splitlines()
        assert told.startswith("soundings: posts.jsonl.gz: found damaged gzip data")
    piped = soundings.run("replay", "-", "--engine", "tiny", stdin=bytes(raw))
    assert (piped.returncode, piped.stdout) == (2, "")
    books = json.loads(soundings.run("books", "--json").stdout)
    assert (books["stored_total"], books["dead_letters_open"]) == (0, 0)


def test_a_mapped_column_that_is_not_there_is_told_with_those_that_are(soundings: Soundings, tmp_path: Path) -> None:
    path = write_posts(tmp_path / "other.jsonl", [{"id": "1", "words": "@acme"}])
    soundings.config.write_text(soundings.config.read_text() + '\n[source.file.columns]\ntext = "wrods"\n')
    assert "did you mean 'words'" in refused(soundings, "replay", str(path), "--engine", "tiny")


def test_check_tells_every_problem_at_once(soundings: Soundings) -> None:
    soundings.config.write_text(
        """
        [web]
        prot = 1
        host = "0.0.0.0"
        [[brands]]
        id = "a"
        query = 'acme AND ('
        [[brands]]
        id = "b"
        query = 'NOT acme'
        [[brands]]
        id = "c"
        query = 'acme sentiment:negative'
        """
    )
    told = refused(soundings, "check")
    for expected in (
        "web.prot: unknown key; did you mean web.port?",
        "expected a loopback address",
        "brand a: query: at position 11",
        "            ^",
        "brand b: query: the query needs a positive anchor",
        "brand c: query: a brand's query cannot use the field `sentiment`",
    ):
        assert expected in told


@pytest.mark.parametrize("broken", ["[[brands]", "[[brands]]\nid='a'\nqurey='acme'\n"])
def test_a_broken_configuration_is_not_said_to_name_no_brand(soundings: Soundings, broken: str) -> None:
    soundings.config.write_text(broken)
    assert "soundings init" not in refused(soundings, "check")


def test_an_empty_data_folder_name_is_not_the_folder_we_stand_in(soundings: Soundings, posts_file: Path) -> None:
    before = sorted(soundings.folder.iterdir())
    assert "found an empty text" in refused(soundings, "replay", str(posts_file), "--data-dir", "")
    assert sorted(soundings.folder.iterdir()) == before


def test_the_books_of_a_run_that_never_was_are_refused(soundings: Soundings, posts_file: Path) -> None:
    run = soundings.replay(posts_file)["run"]
    assert f"did you mean {run}?" in refused(soundings, "books", "--run", run[:-1])
    assert soundings.run("books", "--run", run).returncode == 0


def test_output_that_cannot_be_written_is_one_line(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            soundings.command("search", "", "--config", str(soundings.config)),
            env=soundings.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["soundings: cannot write the output: No space left on device"]


def test_a_configuration_that_is_missing_broken_or_without_brands_stops_a_replay(
    soundings: Soundings, posts_file: Path
) -> None:
    assert "no such configuration" in refused(soundings, "replay", str(posts_file), "--config", "nowhere.toml")
    soundings.config.write_text("[[brands]")
    assert "not valid TOML" in refused(soundings, "replay", str(posts_file))
    soundings.config.write_text("")
    assert "soundings init" in refused(soundings, "replay", str(posts_file))
    told = soundings.run("replay", "-", stdin=posts_file.read_bytes())
    assert (told.returncode, "soundings init" in told.stderr) == (2, True)
    assert "soundings init" in refused(soundings, "up")
    soundings.config.write_text("[[brands]]\nid='a'\nquery='a b AND'\n")
    assert "position 8" in refused(soundings, "replay", str(posts_file))
    assert not soundings.data.exists()


def test_a_data_folder_that_cannot_be_one_is_told(soundings: Soundings, posts_file: Path) -> None:
    assert "found a file" in refused(soundings, "replay", str(posts_file), "--data-dir", str(posts_file))
    assert "holds no Soundings data" in refused(soundings, "search", "acme")
    assert "holds no Soundings data" in refused(soundings, "books")
    assert "holds no Soundings data" in refused(soundings, "dead-letters", "list")
    assert "holds no Soundings data" in refused(soundings, "reindex")
    assert not soundings.data.exists()


# Root may write anywhere: without CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2) it meets permissions as all do.
_AS_ANYBODY = """
import ctypes, os, sys
PR_CAPBSET_DROP = 24
for capability in (1, 2):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("place", [".", "store"])
def test_a_data_folder_that_may_only_be_read_is_told_in_one_line(
    soundings: Soundings, posts_file: Path, place: str
) -> None:
    soundings.replay(posts_file)
    folder = soundings.data / place
    folder.chmod(0o500)
    try:
        for arguments in (["search", "acme"], ["books"], ["dead-letters", "list"]):
            done = subprocess.run(
                [sys.executable, "-c", _AS_ANYBODY, *soundings.command(*arguments)],
                cwd=soundings.folder, env=soundings.environment, capture_output=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (2, b"")
            (told,) = done.stderr.decode().splitlines()
            assert told.startswith(f"soundings: {folder}: cannot be written to")
            assert "name a copy of the whole data folder with --data-dir" in told
    finally:
        folder.chmod(0o700)
    assert soundings.run("search", "acme").returncode == 0


def test_a_busy_port_and_another_machine_are_refused(soundings: Soundings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(soundings, "up", "--port", str(port), "--engine", "tiny")
        assert f"127.0.0.1:{port}: another program listens there" in told
    assert "expected a loopback address" in refused(soundings, "up", "--host", "0.0.0.0")
    assert "expected a loopback address" in refused(soundings, "up", "--host", "example.org")


def test_a_full_disk_is_told_before_anything_is_read(soundings: Soundings, posts_file: Path) -> None:
    soundings.config.write_text(soundings.config.read_text() + "\n[data]\ndisk_floor_mb = 900000000\n")
    done = soundings.run("replay", str(posts_file), "--engine", "tiny")
    assert done.returncode == 1
    assert "data.disk_floor_mb" in done.stderr
    assert "Traceback" not in done.stderr


def test_try_shows_what_would_happen_and_stores_nothing(soundings: Soundings, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "tweet_id,body,date\n1,I love my Acme rocket,2026-03-01\n2,nothing here,2026-03-02\n3,@acme,soon\n", "utf-8"
    )
    done = soundings.run("try", str(path), "--engine", "tiny")
    assert done.returncode == 0, done.stderr
    for expected in (
        "from tweet_id",
        "from body",
        "-> acme: positive",
        "named: Acme rocket",
        "names no brand",
        "bad_date",
    ):
        assert expected in done.stdout
    answer = json.loads(soundings.run("try", str(path), "--engine", "tiny", "--json").stdout)
    assert (len(answer["rows"]), answer["readable"], answer["matched"]) == (3, 2, 1)
    assert not soundings.data.exists()


def test_a_search_shows_hostile_text_harmlessly_and_marks_a_bad_query(soundings: Soundings, tmp_path: Path) -> None:
    hostile = {"id": "1", "text": "acme rocket \x1b[2J\x1b]0;owned\x07 \u202eevil [bold]markup[/bold] \x9b31m"}
    soundings.replay(write_posts(tmp_path / "hostile.jsonl", [hostile]))
    done = soundings.run("search", "acme")
    assert done.returncode == 0
    assert "1 mention" in done.stdout
    assert "[bold]markup[/bold]" in done.stdout
    assert not any(sign in done.stdout for sign in ("\x1b", "\x07", "\u202e", "\x9b"))
    lines = refused(soundings, "search", "acme AND (").splitlines()
    assert lines[1] == "  acme AND ("
    assert lines[2].index("^") == 12


def test_search_filters_by_brand_and_sentiment_and_limits(soundings: Soundings, posts_file: Path) -> None:
    books = soundings.replay(posts_file)
    everything = json.loads(soundings.run("search", "", "--json", "--limit", "500").stdout)
    assert everything["total"] == books["stored_total"]
    only = json.loads(soundings.run("search", "", "--brand", "globex", "--sentiment", "positive", "--json").stdout)
    assert {(one["brand_id"], one["sentiment"]) for one in only["mentions"]} == {("globex", "positive")}
    few = soundings.run("search", "acme", "--limit", "2").stdout
    assert few.strip().endswith(", 2 shown")
    for wrong in ("0", "501", "-1", "9" * 5_000):
        assert "expected a whole number from 1 to 500" in refused(soundings, "search", "acme", f"--limit={wrong}")
    marked = json.loads(soundings.run("search", "awful", "--limit", "1", "--json").stdout)["mentions"][0]
    start, end, field = marked["highlights"][0]
    assert marked[field][start:end] == "awful"


def test_a_query_may_begin_with_a_minus(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)

    def total(*arguments: str) -> int:
        done = soundings.run("search", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["total"])

    # -h would be an option, -hate is not.
    for word in ("globex", "hate"):
        assert total(f"-{word}") == total("--", f"-{word}") == total("") - total(word)
    assert total("-globex", "--limit", "5") == total("--limit", "5", "-globex") == total("-globex")
    assert "usage:" in refused(soundings, "search", "-x", "-y")
    assert "usage: soundings search" in soundings.run("search", "-h").stdout


def test_reindex_builds_the_index_again(soundings: Soundings, posts_file: Path) -> None:
    books = soundings.replay(posts_file)
    done = soundings.run("reindex")
    assert done.returncode == 0, done.stderr
    assert f"Indexed {books['stored_total']:,} mentions again." in done.stdout
    assert json.loads(soundings.run("search", "", "--json").stdout)["total"] == books["stored_total"]


def test_init_writes_a_configuration_that_checks_fine_and_replaces_none(soundings: Soundings) -> None:
    assert soundings.run("init", "Ember & Oak", 'The "Odd" \\ Co', "--output", "new.toml").returncode == 0
    done = soundings.run("check", "--config", "new.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 brands: ember-oak, the-odd-co; alerts: 1 rule, 0 channels, 0 subscriptions" in done.stdout
    settings, columns, brands = (soundings.folder / "new.toml").read_text().partition("# Which column")
    spelt_out = re.sub(r"^# (?=[a-z_]+ = )", "", settings, flags=re.MULTILINE)
    (soundings.folder / "spelt-out.toml").write_text(spelt_out + columns + brands)
    done = soundings.run("check", "--config", "spelt-out.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is already there" in refused(soundings, "init", "X1", "--output", "new.toml")
    assert soundings.run("init", "X1", "--output", "new.toml", "--force").returncode == 0
    assert "without a letter" in refused(soundings, "init", "!!")


def test_init_gives_every_name_of_any_script_an_id_of_its_own_and_refuses_control_characters(
    soundings: Soundings,
) -> None:
    names = [
        "L'Or\u00e9al",
        "L\u2019Or\u00e9al",
        "Citro\u00ebn",
        "\u65e5\u672c",
        "\u041c\u0438\u0440",
        "\u65e5\u672c Air",
    ]
    assert soundings.run("init", *names, "--output", "new.toml").returncode == 0
    brands = tomllib.loads((soundings.folder / "new.toml").read_text(encoding="utf-8"))["brands"]
    ids = [brand["id"] for brand in brands]
    assert [*ids[:3], ids[5]] == ["loreal", "loreal-2", "citroen", "air"]
    assert len(set(ids)) == len(names)
    assert all(re.fullmatch(r"brand-[0-9a-f]{6}", one) for one in ids[3:5])
    assert soundings.run("check", "--config", "new.toml").returncode == 0
    for name in ("Ac\nme", "Ac\x1b[31mme", "Ac\u2028me"):
        told = refused(soundings, "init", name, "--output", "other.toml")
        assert f"BRAND: found {name!a}" in told
    assert not (soundings.folder / "other.toml").exists()


@pytest.mark.parametrize(
    "arguments", [["dance"], [], ["search"], ["replay"], ["try", "x", "--rows", "0"], ["dead-letters", "show", "x"]]
)
def test_wrong_arguments_are_refused(soundings: Soundings, arguments: list[str]) -> None:
    assert "usage:" in refused(soundings, *arguments)


def test_dead_letters_that_do_not_exist_are_told(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)
    assert "there is no dead letter 5" in refused(soundings, "dead-letters", "show", "5")
    assert "there is no dead letter 5" in refused(soundings, "dead-letters", "retry", "5")
    assert "expected the numbers of dead letters, or --all" in refused(soundings, "dead-letters", "retry")


def test_what_nobody_knows_of_is_traced_with_exit_code_1(
    soundings: Soundings, another: Soundings, posts_file: Path, tmp_path: Path
) -> None:
    soundings.replay(posts_file)
    nothing = soundings.run("trace", "x:nosuch")
    assert nothing.returncode == 1
    assert "never taken in" in nothing.stdout
    assert soundings.run("trace", "x:nosuch", "--json").returncode == 1
    known = soundings.run("trace", "x:p1")
    assert (known.returncode, "revision" in known.stdout) == (0, True), known.stdout
    assert soundings.run("export", str(tmp_path / "store.gz")).returncode == 0
    assert another.run("import", str(tmp_path / "store.gz")).returncode == 0
    imported = another.run("trace", "x:p1")
    assert imported.returncode == 0
    assert "came by `import`" in imported.stdout
    assert "never taken in" not in imported.stdout


@pytest.mark.parametrize(
    "servers", ["::::", "http://x", "kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "kafka:9092,", "a b:9092"]
)
def test_brokers_are_host_and_port(soundings: Soundings, servers: str) -> None:
    kafka = f'[log]\nkind = "kafka"\n[store]\nkind = "elastic"\n[kafka]\nbootstrap_servers = "{servers}"\n'
    soundings.config.write_text(kafka + soundings.config.read_text())
    assert "kafka.bootstrap_servers: found" in refused(soundings, "check")


def test_brokers_by_name_and_address_are_fine(soundings: Soundings) -> None:
    servers = "kafka-1.example:9092, 10.0.0.1:9092,[::1]:9092,kafka_2:9093"
    kafka = f'[log]\nkind = "kafka"\n[store]\nkind = "elastic"\n[kafka]\nbootstrap_servers = "{servers}"\n'
    soundings.config.write_text(kafka + soundings.config.read_text())
    done = soundings.run("check")
    assert done.returncode == 0, done.stderr


def test_a_dashboard_whose_port_is_busy_announces_nothing(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (("--port", port, "--health-port", "0"), ("--port", "0", "--health-port", port)):
            assert "another program listens there" in refused(soundings, "dashboard", *arguments)


def test_where_the_log_is_json_a_worker_says_nothing_else(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)
    with soundings.config.open("a") as config:
        config.write('[logging]\nformat = "json"\n')
    output = soundings.folder / "dashboard.log"
    with output.open("wb") as file:
        dashboard = soundings.start("dashboard", "--port", "0", "--health-port", "0", output=file)
    soundings.wait_for(lambda: "Soundings serves" in output.read_text(), "the page")
    dashboard.terminate()
    assert dashboard.wait(60) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {line["role"] for line in lines} == {"dashboard"}
    assert [line["level"] for line in lines if "health and metrics at http" in line["message"]] == ["info"]
    with listen("127.0.0.1", 0) as taken:
        told = refused(soundings, "dashboard", "--port", str(taken.getsockname()[1]))
    (line,) = map(json.loads, told.splitlines())
    assert (line["level"], "another program listens there" in line["message"]) == ("error", True)


def test_a_silence_of_nothing_that_is_there_is_refused(soundings: Soundings, posts_file: Path) -> None:
    assert soundings.run("replay", str(posts_file), "--engine", "tiny").returncode == 0
    assert soundings.run("brands", "add", "Ember Oak", "--query", "ember").returncode == 0
    told = refused(soundings, "alerts", "silence", "--hours", "1", "--brand", "acne")
    assert told == "soundings: --brand: found 'acne'; there is none of this id; did you mean acme?\n"
    # Of no brand that is there, whatever the rule.
    refused(soundings, "alerts", "silence", "--hours", "1", "--brand", "nope", "--rule", "negative-spike")
    told = refused(soundings, "alerts", "silence", "--hours", "1", "--rule", "negativ-spike")
    assert "did you mean negative-spike?" in told
    done = soundings.run(
        "alerts", "silence", "--hours", "1", "--brand", "ember-oak", "--brand", "acne", "--rule", "lag"
    )
    assert (done.returncode, "did you mean acme?" in done.stderr, "stands" in done.stdout) == (0, True, True)
    assert len(soundings.run("alerts", "silences").stdout.splitlines()) == 1
    assert "there is none of this id" in refused(soundings, "alerts", "unsilence", "ü x")
    assert "there is none of this id" in refused(soundings, "alerts", "acknowledge", "")
