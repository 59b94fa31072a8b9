"""A file through every stage, as a user does it: exact books, nothing twice, bad rows parked with their reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.command_line import ROOT, Soundings, make_posts, write_posts

AIRLINES = {
    "united": 3866,
    "us-airways": 2987,
    "american": 2801,
    "southwest": 2452,
    "delta": 63,
    "virgin-america": 518,
    "jetblue": 2239,
}


def test_the_books_add_up_and_the_same_file_again_adds_nothing(soundings: Soundings, posts_file: Path) -> None:
    books = soundings.replay(posts_file)
    assert books["read"] == 300
    assert books["read"] == books["duplicate"] + books["filtered"] + books["matched"] + books["parked"]
    assert min(books["duplicate"], books["filtered"], books["matched"]) > 0
    assert books["parked"] == 0
    assert books["stages"]["enrich"]["in"] == books["matched"]
    assert books["mentions"] == sum(books["mentions_by_brand"].values()) == sum(books["sentiment"].values())
    assert 0 < books["stored_total"] <= books["mentions"]

    again = soundings.replay(posts_file)
    assert again["run"] != books["run"]
    assert again["read"] == 300 == again["duplicate"] + again["filtered"]
    assert (again["matched"], again["mentions"]) == (0, 0)
    assert again["stored_total"] == books["stored_total"]


def test_standard_input_gzip_and_csv_give_the_same_books_as_the_file(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    import csv
    import gzip

    posts = [post for post in make_posts(120) if "edited_at" not in post]
    plain = write_posts(tmp_path / "posts.jsonl", posts)
    expected = soundings.replay(plain)
    packed = tmp_path / "posts.csv.gz"
    with gzip.open(packed, "wt", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(posts[0]))
        writer.writeheader()
        writer.writerows(posts)
    parts = ("read", "duplicate", "filtered", "matched", "mentions_by_brand", "sentiment", "stages", "stored_total")
    found = another.replay(packed)
    assert {part: found[part] for part in parts} == {part: expected[part] for part in parts}

    done = another.run("replay", "-", "--json", "--engine", "tiny", stdin=plain.read_bytes())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["duplicate"] + json.loads(done.stdout)["filtered"] == len(posts)
    assert list((another.data / "spool").iterdir()) == []


def test_the_books_tell_what_the_model_could_not_judge_or_not_read_whole(soundings: Soundings, tmp_path: Path) -> None:
    texts = {
        "1": "@acme was lovely today, thank you all so much for the help",
        "2": "Der Flug mit @acme war leider wieder viel zu spät und niemand wusste etwas.",
        "3": "@acme was late. " + "And then we waited and waited for the bags. " * 110,
    }
    rows = [{"id": number, "text": text, "created_at": "2026-10-01T00:00:00Z"} for number, text in texts.items()]
    books = soundings.replay(write_posts(tmp_path / "posts.jsonl", rows))
    assert (books["mentions"], books["unreliable"], books["truncated"]) == (3, 1, 1)
    shown = soundings.run("search", "truncated:true", "--json")
    assert [one["post_id"].rpartition(":")[2] for one in json.loads(shown.stdout)["mentions"]] == ["3"]


def test_only_the_books_are_on_standard_output_and_progress_is_not(soundings: Soundings, posts_file: Path) -> None:
    done = soundings.run("replay", str(posts_file), "--engine", "tiny", "--json")
    assert len(done.stdout.splitlines()) == 1
    told = soundings.run("replay", str(posts_file), "--engine", "tiny")
    assert "Dead letters: none" in told.stdout
    assert "named no brand" in told.stdout


def test_every_kind_of_bad_row_is_parked_with_its_reason_and_the_rest_goes_on(
    soundings: Soundings, tmp_path: Path
) -> None:
    def row(number: int, **changes: object) -> bytes:
        post: dict[str, object] = {"id": f"b{number}", "created_at": "2026-03-01T10:00:00Z", "text": "@acme is fine"}
        return json.dumps({**post, **changes}).encode()

    bad = {
        b"this is not JSON": "not_json",
        b'{"id": "cut", "text": "@acme': "not_json",
        b'["a list"]': "not_an_object",
        b'{"id": "x1", "text": "@acme \xff"}': "bad_encoding",
        b'{"id": "x2", "id": "x3", "text": "@acme"}': "bad_row",
        b'{"id": "x4", "text": "@acme", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}": "too_deep",
        row(1, id=""): "missing_id",
        row(13, id="b13\x00"): "wrong_type",
        row(13, id="b13\ud800"): "wrong_type",
        row(2, text=None): "missing_text",
        row(3, text=["@acme"]): "wrong_type",
        row(4, created_at="1823-05-01T00:00:00Z"): "bad_date",
        row(5, created_at="2999-05-01T00:00:00Z"): "bad_date",
        row(6, created_at="the day before yesterday"): "bad_date",
        row(7, text="@acme " + "a" * 10_000_000): "too_large",
    }
    fine = [
        row(10, text="@acme lone surrogate \ud800"),
        row(11, text="@acme NUL \x00 inside"),
        row(12, unheard_of={"nested": [1, 2]}),
        row(13),
    ]
    path = tmp_path / "poison.jsonl"
    path.write_bytes(b"\n".join([fine[0], *bad, *fine[1:]]) + b"\n")
    books = soundings.replay(path)

    expected: dict[str, int] = {}
    for reason in bad.values():
        expected[reason] = expected.get(reason, 0) + 1
    assert books["parked_by_reason"] == dict(sorted(expected.items()))
    assert (books["read"], books["parked"], books["matched"]) == (len(bad) + len(fine), len(bad), len(fine))
    assert books["stored_total"] == len(fine)

    told = soundings.run("replay", str(path), "--engine", "tiny").stdout
    assert f"Dead letters: {len(bad)} (3 bad_date" in told
    listed = soundings.run("dead-letters", "list").stdout.splitlines()
    assert len(listed) == 2 * len(bad)
    assert "poison.jsonl:2" in listed[0]
    shown = soundings.run("dead-letters", "show", "1").stdout
    assert "this is not JSON" in shown
    assert soundings.run("dead-letters", "show", "1", "--raw").stdout == "this is not JSON"


def test_a_date_that_cannot_be_read_is_never_made_up(soundings: Soundings, tmp_path: Path) -> None:
    path = write_posts(
        tmp_path / "dates.jsonl", [{"id": "1", "text": "@acme"}, {"id": "2", "text": "@acme", "created_at": "soon"}]
    )
    assert soundings.replay(path)["parked_by_reason"] == {"bad_date": 1}
    found = json.loads(soundings.run("search", "acme OR @acme", "--json").stdout)
    assert [mention.get("published_at") for mention in found["mentions"]] == [None]


def test_a_dead_letter_is_retried_once_the_configuration_is_mended(soundings: Soundings, tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": "@acme", "date": "2026-03-01"} for number in range(3)]
    path = write_posts(tmp_path / "rows.jsonl", [*rows, {"id": "9", "text": "@acme", "date": "01|03|2026"}])
    books = soundings.replay(path)
    assert books["parked_by_reason"] == {"bad_date": 1}
    still = soundings.run("dead-letters", "retry", "1", "--config", str(soundings.config))
    assert still.returncode == 1
    assert "dead letter 1: still bad_date" in still.stderr

    soundings.config.write_text(
        soundings.config.read_text() + '\n[source.file]\ndate_formats = ["%d|%m|%Y"]\n[engine]\nkind = "tiny"\n'
    )
    done = soundings.run("dead-letters", "retry", "--all")
    assert done.returncode == 0, done.stderr
    assert "1 ok" in done.stdout
    assert "No dead letters." in soundings.run("dead-letters", "list").stdout
    assert "(retried)" in soundings.run("dead-letters", "list", "--all").stdout
    after = json.loads(soundings.run("books", "--json", "--run", books["run"]).stdout)
    assert (after["stages"]["ingest"]["ok"], after["stages"]["ingest"]["parked"]) == (4, 0)
    assert after["stored_total"] == 4


def test_a_changed_query_gets_a_higher_revision_and_says_so(soundings: Soundings, posts_file: Path) -> None:
    soundings.replay(posts_file)
    soundings.config.write_text(soundings.config.read_text().replace("@acme OR", "@acme OR @acmecorp OR"))
    done = soundings.run("replay", str(posts_file), "--engine", "tiny")
    assert done.returncode == 0
    assert "brand acme: the query changed and query_revision did not; going on as revision 2" in done.stderr
    assert "query changed" not in soundings.run("replay", str(posts_file), "--engine", "tiny").stderr


@pytest.mark.data
def test_the_airline_replay_gives_the_known_numbers(soundings: Soundings, shared_data: Path) -> None:
    file = shared_data / "mentions" / "us-airlines-2015.jsonl.gz"
    config = str(ROOT / "examples" / "airlines.toml")
    books = soundings.replay(file, "--config", config)
    found = [books[part] for part in ("read", "duplicate", "filtered", "matched", "parked", "mentions", "stored_total")]
    assert found == [14_640, 155, 4, 14_481, 0, 14_926, 14_926]
    assert books["mentions_by_brand"] == AIRLINES
    again = soundings.replay(file, "--config", config)
    found = [again[part] for part in ("read", "duplicate", "filtered", "matched", "mentions", "stored_total")]
    assert found == [14_640, 14_636, 4, 0, 0, 14_926]
