"""Who may do what, on a real Elasticsearch that starts as the compose file says: security and TLS on.

Roles and users are those that `python -m deploy access` makes. Kibana's own privileges in them are stored by
Elasticsearch and kept by Kibana, which does not run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from fakes.mentions import START, many_mentions, mention, retraction, withdrawal
from servers.secure_elastic import PASSWORD, SecureElasticServer

from deploy.__main__ import main
from deploy.access import KIBANA_USER, KIBANA_VARIABLE, USERS, roles
from deploy.json_http import Refused, Server
from domain.aggregation import Buckets, Terms
from domain.clock import SystemClock
from domain.documents import ABSENT, Change
from domain.errors import AccessRefused, BackendDown, ConfigError
from domain.query.ast import Everything
from domain.records import Topic
from search.alert_index import AlertIndex
from search.elastic import ElasticStore
from search.elastic_documents import ElasticDocuments
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings
from search.elastic_setup import differences, prepare
from search.stage import IndexStage
from search.store import SearchRequest, Written
from stream.codec import encode
from stream.embedded import EmbeddedLog
from stream.protocol import OutRecord, Settlement
from stream.worker import Worker

ROOT = Path(__file__).resolve().parents[3]
MONTH = "soundings-mentions-2026.11"
KEPT = ("stories", "tombstones", "retractions", "events", "dead", "documents", "alerts")
OURS = (MONTH, *(f"soundings-{name}" for name in KEPT))
PASSWORDS = {
    variable: f"of {variable.lower()}, long enough"
    for variable in (*(user.variable for user in USERS), KIBANA_VARIABLE)
}
MENTION = {"mention_id": "m1", "text": "the crew was kind"}
# Documents that the strict mappings take.
DOCUMENT = {
    MONTH: MENTION,
    "soundings-stories": {"story_id": "s1"},
    "soundings-tombstones": {"post_id": "p1"},
    "soundings-retractions": {"key": "x:1"},
    "soundings-events": {"stage": "enrich"},
    "soundings-dead": {"stage": "enrich"},
    "soundings-documents": {"kind": "k", "doc_id": "d"},
    "soundings-alerts": {"alert_id": "a1"},
    "elsewhere": {"any": "thing"},
}


def environ(server: SecureElasticServer, **changed: str) -> dict[str, str]:
    given = {"ELASTIC_URL": server.url, "ELASTIC_CA": str(server.authority), "ELASTIC_PASSWORD": PASSWORD}
    return {**given, **PASSWORDS, **changed}


def as_user(server: SecureElasticServer, name: str) -> Server:
    variable = {user.name: user.variable for user in USERS}.get(name, KIBANA_VARIABLE)
    password = PASSWORD if name == "elastic" else PASSWORDS[variable]
    return Server("Elasticsearch", server.url, name, password, server.authority)


def settings_of(server: SecureElasticServer, name: str) -> ElasticSettings:
    user = as_user(server, name)
    return ElasticSettings(
        hosts=(server.url,),
        user=user.user,
        password=user.password,
        ca_file=str(server.authority),
        replicas=0,
        refresh_seconds=0.1,
    )


@pytest.fixture(scope="module")
def cluster(server: SecureElasticServer) -> Iterator[SecureElasticServer]:
    """With roles and users, set up as `soundings_setup`, a document in each index, and an index of others."""
    assert main(["access"], environ(server), patience_seconds=60) == 0
    setup = Elastic(settings_of(server, "soundings_setup"))
    try:
        prepare(setup, settings_of(server, "soundings_setup"))
        assert differences(setup, settings_of(server, "soundings_setup")) == []
    finally:
        setup.close()
    elastic = as_user(server, "elastic")
    elastic.ask("PUT", "/elsewhere", {"settings": {"number_of_replicas": 0}})
    for index, document in DOCUMENT.items():
        elastic.ask("PUT", f"/{index}/_doc/1?refresh=true", document)
    yield server
    # Others use the same server: none of these documents is one that Soundings wrote.
    months = list(elastic.ask("GET", "/soundings-mentions/_alias"))
    for month in months:
        elastic.ask("DELETE", f"/{month}")
    for index in DOCUMENT.keys() - set(months):
        elastic.ask("DELETE", f"/{index}/_doc/1?refresh=true")


def may(cluster: SecureElasticServer, user: str, method: str, path: str, body: Any = None) -> bool:
    """Tell whether a user may ask this; what Elasticsearch refuses for another reason is a failure."""
    status, said = asked(as_user(cluster, user), method, path, body)
    assert status in (200, 403), said
    return status == 200


def asked(server: Server, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Give the status of an answer, 200 for every good one, and what a refusal says."""
    try:
        server.ask(method, path, body)
    except Refused as exc:
        return exc.status, str(exc)
    return 200, ""


def test_every_role_has_a_file_and_every_user_one_of_them() -> None:
    assert {user.role for user in USERS} == set(roles())
    assert len({user.variable for user in USERS}) == len(USERS)


@pytest.mark.parametrize("user", [user.name for user in USERS])
def test_a_user_signs_in_with_its_password_and_has_its_role_alone(cluster: SecureElasticServer, user: str) -> None:
    who = as_user(cluster, user).ask("GET", "/_security/_authenticate")
    (role,) = (one.role for one in USERS if one.name == user)
    assert (who["username"], who["roles"], who["enabled"]) == (user, [role], True)
    wrong = Server("Elasticsearch", cluster.url, user, "not the password", cluster.authority)
    with pytest.raises(Refused) as refused:
        wrong.ask("GET", "/_security/_authenticate")
    assert refused.value.status == 401


def test_kibana_signs_in_as_its_own_user(cluster: SecureElasticServer) -> None:
    who = as_user(cluster, KIBANA_USER).ask("GET", "/_security/_authenticate")
    assert who["roles"] == ["kibana_system"]


def test_roles_are_stored_as_their_files_say(cluster: SecureElasticServer) -> None:
    stored = as_user(cluster, "elastic").ask("GET", "/_security/role")
    for name, role in roles().items():
        for key in ("description", "cluster", "applications"):
            assert stored[name].get(key, []) == role.get(key, []), name
        asked = [(one["names"], one["privileges"]) for one in role["indices"]]
        assert [(one["names"], one["privileges"]) for one in stored[name]["indices"]] == asked
        assert stored[name]["run_as"] == []


# user -> the indices that it may read, write to and delete from
READS = {
    "marketing": {MONTH, "soundings-alerts"},
    "it": set(OURS),
    "soundings_setup": set(),
    "soundings_index": {MONTH, "soundings-stories", "soundings-tombstones", "soundings-retractions"},
    "soundings_dashboard": {
        MONTH,
        "soundings-stories",
        "soundings-tombstones",
        "soundings-retractions",
        "soundings-events",
        "soundings-documents",
    },
    "soundings_alert": {
        MONTH,
        "soundings-stories",
        "soundings-tombstones",
        "soundings-retractions",
        "soundings-events",
        "soundings-documents",
    },
}
WRITES = {
    "marketing": set(),
    "it": set(OURS),
    "soundings_setup": set(),
    "soundings_index": set(OURS) - {"soundings-documents", "soundings-alerts"},
    "soundings_dashboard": {"soundings-documents"},
    "soundings_alert": {"soundings-documents", "soundings-alerts"},
}
# What it adds to and never takes from.
ADDS = {
    ("soundings_index", "soundings-events"),
    ("soundings_index", "soundings-dead"),
    ("soundings_alert", "soundings-alerts"),
}


SOUNDINGS = ("soundings_setup", "soundings_index", "soundings_dashboard", "soundings_alert")


@pytest.mark.parametrize("index", DOCUMENT)
@pytest.mark.parametrize("user", READS)
def test_a_user_reads_its_indices_and_no_other(cluster: SecureElasticServer, user: str, index: str) -> None:
    allowed = index in READS[user]
    assert may(cluster, user, "POST", f"/{index}/_search", {"size": 1}) == allowed
    assert may(cluster, user, "GET", f"/{index}/_doc/1") == allowed
    assert may(cluster, user, "POST", f"/{index}/_count") == allowed


@pytest.mark.parametrize("index", DOCUMENT)
@pytest.mark.parametrize("user", WRITES)
def test_a_user_writes_to_its_indices_and_no_other(cluster: SecureElasticServer, user: str, index: str) -> None:
    allowed = index in WRITES[user]
    assert may(cluster, user, "PUT", f"/{index}/_doc/{user}", DOCUMENT[index]) == allowed
    removes = allowed and (user, index) not in ADDS
    if allowed:
        assert may(cluster, user, "DELETE", f"/{index}/_doc/{user}") == removes
    else:
        assert not may(cluster, user, "DELETE", f"/{index}/_doc/1")
        assert not may(cluster, user, "POST", f"/{index}/_update/1", {"doc": DOCUMENT[index]})


@pytest.mark.parametrize("user", [*READS, "elastic"])
def test_a_search_over_everything_finds_only_what_may_be_read(cluster: SecureElasticServer, user: str) -> None:
    expected = set(DOCUMENT) if user == "elastic" else READS[user]
    if not expected:
        assert not may(cluster, user, "POST", "/_all/_search")
        return
    answer = as_user(cluster, user).ask("POST", "/_all/_search", {"size": 100})
    assert {hit["_index"] for hit in answer["hits"]["hits"] if not hit["_index"].startswith(".")} == expected


def test_marketing_reads_mentions_by_their_alias_as_kibana_does(cluster: SecureElasticServer) -> None:
    marketing = as_user(cluster, "marketing")
    found = marketing.ask("POST", "/soundings-mentions/_search", {"query": {"match": {"text": "crew"}}})
    assert [hit["_source"] for hit in found["hits"]["hits"]] == [MENTION]
    # What Kibana asks for a data view.
    fields = marketing.ask("GET", "/soundings-mentions/_field_caps?fields=*")["fields"]
    assert fields["text"]["text"]["searchable"]
    assert not may(cluster, "marketing", "GET", "/soundings-events/_field_caps?fields=*")


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/_cluster/health", None, {"it", *SOUNDINGS}),
        (
            "PUT",
            "/_index_template/soundings-probe",
            {"index_patterns": ["soundings-probe-*"]},
            {"it", "soundings_setup"},
        ),
        ("DELETE", "/_index_template/soundings-probe", None, {"it", "soundings_setup"}),
        ("PUT", "/soundings-probe-1", {"settings": {"number_of_replicas": 0}}, {"it", "soundings_setup"}),
        ("PUT", "/soundings-probe-1/_mapping", {"properties": {"a": {"type": "long"}}}, {"it", "soundings_setup"}),
        ("PUT", "/soundings-probe-1/_alias/soundings-probe", {}, {"it", "soundings_setup"}),
        ("DELETE", "/soundings-probe-1", None, {"it", "soundings_setup"}),
        ("PUT", "/foreign-1", None, set()),
        ("DELETE", "/elsewhere", None, set()),
        ("GET", "/_security/user", None, set()),
        ("PUT", "/_security/user/intruder", {"password": "intruder", "roles": ["superuser"]}, set()),
        ("PUT", "/_security/role/marketing", {"cluster": ["all"]}, set()),
        ("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1}}, set()),
        ("GET", "/.security/_search", None, set()),
    ],
)
def test_the_cluster_is_managed_by_it_and_setup_alone(
    cluster: SecureElasticServer, method: str, path: str, body: Any, allowed: set[str]
) -> None:
    elastic = as_user(cluster, "elastic")
    for user in READS:
        if "soundings-probe" in path and user in allowed:
            put_in_place(elastic, method, path)
        assert may(cluster, user, method, path, body) == (user in allowed), user


def put_in_place(elastic: Server, method: str, path: str) -> None:
    """Put what a request works on in its place, and away what it makes."""
    target = "/".join(path.split("/")[: 3 if path.startswith("/_") else 2])
    status, said = asked(elastic, "DELETE", target)
    assert status in (200, 404), said
    if target.startswith("/_"):
        if method == "DELETE":
            elastic.ask("PUT", target, {"index_patterns": ["soundings-probe-*"]})
    elif target != path or method == "DELETE":
        elastic.ask("PUT", target, {"settings": {"number_of_replicas": 0}})


def test_index_makes_the_next_month_by_writing_to_it_and_cannot_drop_one(cluster: SecureElasticServer) -> None:
    month = "soundings-mentions-2031.01"
    assert may(cluster, "soundings_index", "PUT", f"/{month}/_doc/1", {"mention_id": "later"})
    assert not may(cluster, "marketing", "PUT", "/soundings-mentions-2031.02/_doc/1", MENTION)
    assert not may(cluster, "soundings_index", "DELETE", f"/{month}")
    assert may(cluster, "it", "DELETE", f"/{month}")


def test_an_index_with_a_misspelt_name_is_not_made(cluster: SecureElasticServer) -> None:
    with pytest.raises(Refused, match="no such index"):
        as_user(cluster, "elastic").ask("PUT", "/sounding-mentions/_doc/1", MENTION)


def test_the_store_writes_as_index_and_reads_as_dashboard_and_needs_no_more(cluster: SecureElasticServer) -> None:
    made = many_mentions(60)
    writing = ElasticStore.open(settings_of(cluster, "soundings_index"))
    reading = ElasticStore.open(settings_of(cluster, "soundings_dashboard"), read_only=True)
    try:
        before = writing.count()
        assert writing.write(made) == [Written.STORED] * 60
        assert writing.write([retraction(made[0]), withdrawal(made[1])]) == [Written.STORED] * 2
        assert writing.get(made[2].mention_id) == made[2]
        writing.refresh()
        assert reading.count() == before + 58
        # The documents of this file that are no whole mentions are older than these.
        assert reading.search(SearchRequest(limit=1)).total == before + 58
        brands = reading.aggregate(Everything(), {"brands": Terms("brand_id")})["brands"]
        assert isinstance(brands, Buckets)
        assert sum(bucket.count for bucket in brands.buckets) == 58
        assert reading.get(made[2].mention_id) == made[2]
        assert reading.story("none") is None
        with pytest.raises(AccessRefused, match="403"):
            reading.write([mention("written by a reader")])
        with pytest.raises(AccessRefused, match="403"):
            writing.drop_months(START.replace(year=2030))
    finally:
        writing.close()
        reading.close()


def test_the_page_and_the_watcher_share_documents_and_the_watcher_alone_shows_alerts(
    cluster: SecureElasticServer,
) -> None:
    with ExitStack() as opened:
        page, watcher = (
            opened.enter_context(closing(ElasticDocuments.open(settings_of(cluster, user))))
            for user in ("soundings_dashboard", "soundings_alert")
        )
        page.apply([Change("silence", "s1", {"why": "a planned outage"}, ABSENT)])
        (found,) = watcher.scan("silence")
        watcher.apply([Change("silence", "s1", None, found.revision)])
        assert page.get("silence", ["s1"]) == {}
        shows, looks = (
            opened.enter_context(closing(ElasticStore.open(settings_of(cluster, user), read_only=True)))
            for user in ("soundings_alert", "soundings_dashboard")
        )
        AlertIndex(shows.bulk, shows.names).publish([{"alert_id": "a2", "severity": "critical"}])
        seen = as_user(cluster, "marketing").ask("GET", "/soundings-alerts/_doc/a2")
        assert seen["_source"]["severity"] == "critical"
        with pytest.raises(AccessRefused, match="403"):
            AlertIndex(looks.bulk, looks.names).publish([{"alert_id": "a3"}])


def test_a_worker_whose_password_was_changed_stops_with_a_line_that_says_so_and_loses_nothing(
    cluster: SecureElasticServer, tmp_path: Path
) -> None:
    made = [mention(f"rotated{number}") for number in range(20)]
    outputs = [OutRecord(Topic.MENTIONS, one.post_id, encode(one)) for one in made]
    store = ElasticStore.open(settings_of(cluster, "soundings_index"))
    before = store.count()
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", clock=SystemClock())) as log:
        log.settle(Settlement(outputs=outputs[:10]))
        worker = Worker(log, IndexStage(store), clock=SystemClock())
        worker.drain()
        try:
            assert (
                main(["access"], environ(cluster, INDEX_PASSWORD="rotated, and long enough"), patience_seconds=0) == 0
            )
            log.settle(Settlement(outputs=outputs[10:]))
            with pytest.raises(AccessRefused) as caught:
                worker.drain()
            worker.close()
        finally:
            assert main(["access"], environ(cluster), patience_seconds=0) == 0
        (line,) = caught.value.problems
        assert "401" in line
        assert "elastic.user and elastic.password" in line
        assert "docs/deploying.md" in line
        # The next one, with the right password, goes on where this one stopped.
        assert log.lag("index", IndexStage.topics) == 10
        again = Worker(log, IndexStage(store), clock=SystemClock())
        again.drain()
        again.close()
    assert store.count() == before + 20
    store.close()


@pytest.mark.parametrize("user", ["soundings_index", "soundings_dashboard"])
def test_a_worker_sees_whether_setup_has_run(cluster: SecureElasticServer, user: str) -> None:
    elastic = Elastic(settings_of(cluster, user))
    try:
        assert differences(elastic, settings_of(cluster, user)) == []
    finally:
        elastic.close()


# --- the step itself


def test_running_it_again_changes_nothing_but_a_password_that_was_changed(
    cluster: SecureElasticServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = as_user(cluster, "elastic").ask("GET", "/_security/user")
    assert main(["access"], environ(cluster, MARKETING_PASSWORD="a new one for marketing"), patience_seconds=0) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "access: password of kibana_system"
    assert "a new one" not in said
    after = as_user(cluster, "elastic").ask("GET", "/_security/user")
    assert after == before
    changed = Server("Elasticsearch", cluster.url, "marketing", "a new one for marketing", cluster.authority)
    assert changed.ask("GET", "/_security/_authenticate")["username"] == "marketing"
    assert main(["access"], environ(cluster), patience_seconds=0) == 0


def test_missing_and_short_passwords_are_all_named_before_anything_is_done(
    server: SecureElasticServer, capsys: pytest.CaptureFixture[str]
) -> None:
    given = environ(server, IT_PASSWORD="short")
    del given["INDEX_PASSWORD"]
    assert main(["access"], given, patience_seconds=0) == 2
    assert capsys.readouterr().err.splitlines() == [
        "environment: INDEX_PASSWORD: found 0 characters, expected at least 12",
        "environment: IT_PASSWORD: found 5 characters, expected at least 12",
    ]


def test_a_wrong_superuser_password_is_said_and_not_shown(
    server: SecureElasticServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["access"], environ(server, ELASTIC_PASSWORD="s3cret and wrong"), patience_seconds=0) == 2
    said = capsys.readouterr().err
    assert "status 401" in said
    assert "s3cret" not in said


def test_a_certificate_of_somebody_else_is_not_trusted(server: SecureElasticServer, tmp_path: Path) -> None:
    stranger = as_user(server, "elastic")
    with pytest.raises(ConfigError, match="not signed by"):
        Server("Elasticsearch", stranger.url, stranger.user, stranger.password).ask("GET", "/_cluster/health")
    missing = Server("Elasticsearch", stranger.url, stranger.user, stranger.password, tmp_path / "none.crt")
    with pytest.raises(ConfigError, match="cannot be read"):
        missing.ask("GET", "/_cluster/health")


def test_a_server_that_is_not_there_is_down() -> None:
    with pytest.raises(BackendDown, match="cannot be reached"):
        Server("Elasticsearch", "https://127.0.0.1:1", "elastic", "x").ask("GET", "/")


def test_the_healthcheck_of_the_compose_file_sees_a_secured_server(server: SecureElasticServer) -> None:
    """It looks for these words in the answer to a request without a name."""
    nobody = Server("Elasticsearch", server.url, "", "", server.authority)
    assert "missing authentication credentials" in (ROOT / "docker-compose.yml").read_text()
    with pytest.raises(Refused, match="401"):
        nobody.ask("GET", "/")
