"""What becomes of each item of a bulk, whatever the server does: over loopback, from a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from fakes.clock import FakeClock
from fakes.scripted_bulk import (
    CUT_JSON,
    RESET_AFTER_APPLYING,
    RESET_BEFORE,
    SHORT,
    SILENT,
    TRUNCATED,
    ScriptedBulk,
    scripted,
)

from domain.errors import AccessRefused, BackendDown, BadReason, BadRecord, RetryLater
from search.elastic_bulk import Applied, Bulk, Conflict, ItemOutcome, Op
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings

MAPPING = (400, "document_parsing_exception", "[1:9] failed to parse field [likes] of type [long]: 'a secret'")
STRICT = (400, "strict_dynamic_mapping_exception", "mapping set to strict, dynamic introduction of [x] is not allowed")
REJECTED = (429, "es_rejected_execution_exception", "rejected")
BLOCKED = (403, "cluster_block_exception", "index read-only / allow delete (api)")


def op(doc_id: str, version: int = 1, size: int = 10) -> Op:
    return Op("index", "mentions-2026.03", doc_id, b'{"text":"%b"}' % (b"x" * size), version)


def ops(names: str) -> list[Op]:
    return [op(name) for name in names]


@contextmanager
def writing(script: ScriptedBulk, clock: FakeClock | None = None, **changed: Any) -> Iterator[Bulk]:
    with scripted(script):
        settings = ElasticSettings(**({"hosts": (script.url,), "request_timeout_seconds": 0.5} | changed))
        elastic = Elastic(settings, clock or FakeClock())
        bulk = Bulk(elastic, settings)
        try:
            yield bulk
        finally:
            bulk.close()
            elastic.close()


def kinds(outcomes: Sequence[ItemOutcome]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


def test_every_item_has_an_outcome_of_its_own() -> None:
    script = ScriptedBulk(items={"b": [REJECTED], "c": [MAPPING], "d": [503], "e": [STRICT]}, stored={"f": 7})
    with writing(script) as bulk:
        outcomes = bulk.write([*ops("abcde"), op("f", 7)])
    assert kinds(outcomes) == [Applied, Applied, BadRecord, Applied, BadRecord, Conflict]
    assert outcomes[5] == Conflict(repeated=False)
    # Only what may still succeed was sent again.
    assert script.requests == [["a", "b", "c", "d", "e", "f"], ["b", "d"]]
    assert script.stored == {"a": 1, "b": 1, "d": 1, "f": 7}


def test_a_refused_document_names_the_field_and_never_its_value() -> None:
    with writing(ScriptedBulk(items={"a": [MAPPING]})) as bulk:
        (outcome,) = bulk.write(ops("a"))
    assert isinstance(outcome, BadRecord)
    assert outcome.reason is BadReason.STORE_REFUSED
    assert "likes" in str(outcome)
    assert "secret" not in str(outcome)


def test_a_deletion_of_what_is_not_there_is_done() -> None:
    script = ScriptedBulk(items={"a": [404]})
    with writing(script) as bulk:
        assert kinds(bulk.write([Op("delete", "i", "a", b"", 5, strictly=False)])) == [Applied]
    assert len(script.requests) == 1


def test_an_index_that_was_dropped_a_moment_ago_is_tried_again() -> None:
    script = ScriptedBulk(items={"a": [(404, "index_not_found_exception", "")]})
    with writing(script) as bulk:
        assert kinds(bulk.write(ops("a"))) == [Applied]
    assert len(script.requests) == 2


@pytest.mark.parametrize("fate", [RESET_BEFORE, 429, 502, 503, 504])
def test_a_request_that_was_not_carried_out_is_sent_again(fate: int | str) -> None:
    script = ScriptedBulk(whole=[fate, fate])
    with writing(script) as bulk:
        assert kinds(bulk.write(ops("ab"))) == [Applied, Applied]
    assert script.requests == [["a", "b"]] * 3


@pytest.mark.parametrize("fate", [RESET_AFTER_APPLYING, TRUNCATED, CUT_JSON, SHORT, SILENT])
def test_an_answer_that_was_lost_leaves_conflicts_that_say_so(fate: str) -> None:
    """The caller reads what is there: done only if that is our version or a higher one."""
    script = ScriptedBulk(whole=[fate], stored={"b": 9})
    with writing(script) as bulk:
        assert bulk.write(ops("ab")) == [Conflict(repeated=True), Conflict(repeated=True)]
    assert script.stored == {"a": 1, "b": 9}


def test_what_was_answered_is_not_asked_again_when_the_next_answer_is_lost() -> None:
    script = ScriptedBulk(whole=[None, RESET_AFTER_APPLYING], items={"b": [REJECTED]})
    with writing(script) as bulk:
        outcomes = bulk.write(ops("ab"))
    assert kinds(outcomes) == [Applied, Conflict]
    assert script.requests == [["a", "b"], ["b"], ["b"]]


@pytest.mark.parametrize("said", [REJECTED, BLOCKED, (503, "unavailable_shards_exception", "")])
def test_an_item_that_is_never_taken_ends_in_patience_and_not_in_loss(said: tuple[int, str, str]) -> None:
    clock = FakeClock()
    script = ScriptedBulk(items={"b": [said] * 1_000})
    with writing(script, clock, retry_seconds=20.0) as bulk, pytest.raises(RetryLater, match=said[1]) as caught:
        bulk.write(ops("ab"))
    assert caught.value.after_seconds > 0
    assert script.requests[0] == ["a", "b"]
    assert {tuple(one) for one in script.requests[1:]} == {("b",)}
    assert 4 <= len(script.requests) <= 200


@pytest.mark.parametrize("fate", [RESET_BEFORE, 429, 503])
def test_a_server_that_never_comes_back_ends_in_patience(fate: int | str) -> None:
    script = ScriptedBulk(whole=[fate] * 1_000)
    with writing(script, retry_seconds=10.0) as bulk, pytest.raises(RetryLater):
        bulk.write(ops("ab"))
    assert script.stored == {}


def test_nobody_listening_ends_in_patience() -> None:
    with scripted(ScriptedBulk()) as script:
        pass
    settings = ElasticSettings(hosts=(script.url,), retry_seconds=1.0)
    elastic = Elastic(settings, FakeClock())
    bulk = Bulk(elastic, settings)
    with pytest.raises(RetryLater, match="no answer"):
        bulk.write(ops("a"))
    bulk.close()
    elastic.close()


@pytest.mark.parametrize("said", [(400, "never_heard_of_exception", ""), (418, "", "")])
def test_what_is_unknown_stops(said: tuple[int, str, str]) -> None:
    with writing(ScriptedBulk(items={"b": [said]})) as bulk, pytest.raises(BackendDown, match=str(said[0])):
        bulk.write(ops("abc"))


@pytest.mark.parametrize("said", [401, (403, "security_exception", "action [indices:data/write/bulk] is unauthorized")])
def test_who_may_not_write_is_told_at_once_which_setting_and_page_it_is_about(said: int | tuple[int, str, str]) -> None:
    script = ScriptedBulk(items={"b": [said]}) if isinstance(said, tuple) else ScriptedBulk(whole=[said])
    with writing(script, user="soundings", password="s3cret-s3cret") as bulk, pytest.raises(AccessRefused) as caught:
        bulk.write(ops("abc"))
    (line,) = caught.value.problems
    assert "elastic.user and elastic.password" in line
    assert "user soundings" in line
    assert "docs/deploying.md" in line
    assert "s3cret" not in line
    assert isinstance(said, int) or "is unauthorized" in line
    assert len(script.requests) == 1


def test_a_right_that_is_missing_in_one_of_several_requests_is_told_when_all_were_heard() -> None:
    script = ScriptedBulk(items={"d0": [(403, "security_exception", "")]})
    many = [op(f"d{number}", size=60_000) for number in range(6)]
    with writing(script, bulk_bytes=100_000) as bulk, pytest.raises(AccessRefused):
        bulk.write(many)
    assert set(script.stored) == {"d1", "d2", "d3", "d4", "d5"}


def test_a_reason_is_told_but_for_what_it_quotes_of_a_document() -> None:
    reason = "primary shard is not active, request: [BulkShardRequest [[i][0]] containing [index {source[a secret]}]]"
    script = ScriptedBulk(items={"a": [(503, "unavailable_shards_exception", reason)] * 1_000})
    with writing(script, retry_seconds=5.0) as bulk, pytest.raises(RetryLater) as caught:
        bulk.write(ops("a"))
    assert "a write to mentions-2026.03" in str(caught.value)
    assert "unavailable_shards_exception: primary shard is not active" in str(caught.value)
    assert "secret" not in str(caught.value)
    script = ScriptedBulk(items={"a": [(418, "odd", "x\x1b[2J\n" + "y" * 5_000)]})
    with writing(script) as bulk, pytest.raises(BackendDown) as down:
        bulk.write(ops("a"))
    assert "\x1b" not in str(down.value)
    assert len(str(down.value)) < 1_000


def test_whoever_waits_is_told_once_what_for_and_the_client_adds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with scripted(ScriptedBulk()) as script:
        pass
    settings = ElasticSettings(hosts=(script.url,), retry_seconds=30.0)
    elastic = Elastic(settings, FakeClock())
    bulk = Bulk(elastic, settings)
    waiting: list[Callable[[], object]] = [
        lambda: bulk.write(ops("a")),
        lambda: elastic.ask("GET", "/", patient=True),
    ]
    for work in waiting:
        caplog.clear()
        with pytest.raises(RetryLater):
            work()
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith("waits, for up to ")
        assert script.url in record.getMessage()
    bulk.close()
    elastic.close()


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_refused_request_stops(status: int) -> None:
    with writing(ScriptedBulk(whole=[status])) as bulk, pytest.raises(BackendDown, match=str(status)):
        bulk.write(ops("abc"))


def test_a_request_that_is_too_large_is_halved_until_one_item_is_left() -> None:
    script = ScriptedBulk(whole=[413, 413, 413, None, None])
    with writing(script) as bulk:
        outcomes = bulk.write(ops("abcd"))
    assert script.requests == [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b"], ["c", "d"]]
    assert kinds(outcomes) == [BadRecord, Applied, Applied, Applied]
    assert isinstance(outcomes[0], BadRecord)
    assert outcomes[0].reason is BadReason.TOO_LARGE


def test_nothing_to_write_is_no_request() -> None:
    script = ScriptedBulk()
    with writing(script) as bulk:
        assert bulk.write([]) == []
    assert script.requests == []


def test_requests_are_bounded_and_so_many_are_in_flight() -> None:
    gate, inside, most = threading.Condition(), 0, 0

    def watch() -> None:
        nonlocal inside, most
        with gate:
            inside += 1
            most = max(most, inside)
            gate.notify_all()
            # Each waits for a second one, but the last may be alone.
            gate.wait_for(lambda: most >= 2, timeout=5.0)
            inside -= 1

    script = ScriptedBulk(before=watch)
    many = [op(f"d{number}", size=20_000) for number in range(40)]
    with writing(script, bulk_bytes=100_000, request_timeout_seconds=20.0) as bulk:
        outcomes = bulk.write(many)
    assert kinds(outcomes) == [Applied] * 40
    assert sorted(one for request in script.requests for one in request) == sorted(one.doc_id for one in many)
    assert max(script.bytes_of) <= 100_000
    assert most == 2


def test_in_order_is_one_request_after_the_other() -> None:
    script = ScriptedBulk(whole=[None, 503, None])
    many = [op("same", version, size=60_000) for version in range(1, 5)]
    with writing(script, bulk_bytes=130_000) as bulk:
        assert kinds(bulk.write(many, in_order=True)) == [Applied] * 4
    assert script.stored == {"same": 4}


def test_when_one_request_of_several_fails_the_others_are_heard_first() -> None:
    script = ScriptedBulk(items={"d0": [(418, "", "")]})
    many = [op(f"d{number}", size=60_000) for number in range(6)]
    with writing(script, bulk_bytes=100_000) as bulk, pytest.raises(BackendDown):
        bulk.write(many)
    assert set(script.stored) == {"d1", "d2", "d3", "d4", "d5"}
