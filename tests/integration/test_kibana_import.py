"""The one-shot step that imports Kibana's objects believes the body of the answer, not its status."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fakes.kibana import FakeKibana, fake_kibana

from deploy.__main__ import main
from deploy.kibana.__main__ import OBJECTS

OBJECTS_IN_FILE = len(OBJECTS.read_text().splitlines())
TAKEN = {"success": True, "successCount": OBJECTS_IN_FILE, "errors": [], "warnings": []}


def run(kibana: FakeKibana, *, patience_seconds: float = 0.0) -> int:
    environ = {"KIBANA_URL": kibana.url, "ELASTIC_PASSWORD": "s3cret-of-elastic"}
    return main(["kibana"], environ, patience_seconds=patience_seconds)


def test_the_whole_file_arrives_as_kibana_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_kibana((200, TAKEN)) as kibana:
        assert run(kibana) == 0
    (came,) = kibana.imports
    assert came.path == "/api/saved_objects/_import?overwrite=true"
    assert came.file_name == "soundings.ndjson"
    assert came.content == OBJECTS.read_bytes()
    assert came.headers["kbn-xsrf"]
    assert base64.b64decode(came.headers["authorization"].removeprefix("Basic ")) == b"elastic:s3cret-of-elastic"
    assert capsys.readouterr().out == f"kibana: {OBJECTS_IN_FILE} objects imported\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {
                "success": False,
                "successCount": 0,
                "errors": [
                    {"id": "soundings-volume", "type": "lens", "error": {"type": "missing_references"}},
                    {"id": "soundings-total", "type": "lens", "error": {"type": "conflict"}},
                ],
            },
            ["refused lens soundings-volume", "missing_references", "refused lens soundings-total", "conflict"],
        ),
        ({"success": False, "successCount": 0}, ["imported nothing"]),
        ({"successCount": OBJECTS_IN_FILE}, ["imported nothing"]),
        ({"success": "true", "successCount": OBJECTS_IN_FILE}, ["imported nothing"]),
        ([], ["imported nothing"]),
        ({"success": True, "successCount": 3}, [f"3 objects of {OBJECTS_IN_FILE}"]),
    ],
)
def test_a_refusal_with_status_200_fails_and_names_what_was_refused(
    answer: Any, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_kibana((200, answer)) as kibana:
        assert run(kibana) == 2
    printed = capsys.readouterr()
    assert [word for word in said if word not in printed.err] == []
    assert printed.out == ""


def test_a_kibana_that_is_still_starting_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_kibana((503, {"message": "not ready yet"}), (200, TAKEN)) as kibana:
        assert run(kibana, patience_seconds=60) == 0
    assert len(kibana.imports) == 2
    assert kibana.imports[0].content == kibana.imports[1].content


def test_one_that_does_not_get_ready_in_time_is_said_to_be_away(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_kibana((503, {"message": "not ready yet"})) as kibana:
        assert run(kibana) == 1
    assert "503" in capsys.readouterr().err
    assert main(["kibana"], {"KIBANA_URL": kibana.url, "ELASTIC_PASSWORD": "x"}, patience_seconds=0) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_wrong_password_is_not_tried_again_and_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_kibana((401, {"message": "unable to authenticate"})) as kibana:
        assert run(kibana, patience_seconds=60) == 2
    assert len(kibana.imports) == 1
    printed = capsys.readouterr().err
    assert "status 401" in printed
    assert "s3cret" not in printed


def test_what_is_not_set_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kibana"], {}, patience_seconds=0) == 2
    assert capsys.readouterr().err.splitlines() == [
        "environment: KIBANA_URL: is not set",
        "environment: ELASTIC_PASSWORD: is not set",
    ]
    assert main(["nothing"], {}, patience_seconds=0) == 2
    assert capsys.readouterr().err == "expected one of: access, kibana\n"
