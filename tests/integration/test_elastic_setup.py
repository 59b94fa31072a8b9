"""What `soundings setup` makes in Elasticsearch, and what it says when something is otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes.elastic_stores import settings_for, wipe
from fakes.mentions import mention
from servers.elastic import ElasticServer

from domain.errors import BackendDown, ConfigError
from domain.fields import FIELDS
from domain.records import Mention
from search.elastic import ElasticStore
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings
from search.elastic_setup import FIXED, MAPPINGS, check_ready, differences, prepare, template
from stream.codec import values_of


@pytest.fixture
def settings(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticSettings]:
    settings = settings_for(elastic_server.url, prefix)
    yield settings
    wipe(settings)


@pytest.fixture
def elastic(settings: ElasticSettings) -> Iterator[Elastic]:
    elastic = Elastic(settings)
    yield elastic
    elastic.close()


def test_setup_makes_all_and_a_second_run_changes_nothing(elastic: Elastic, settings: ElasticSettings) -> None:
    assert len(differences(elastic, settings)) == 2 * len(FIXED) + 1
    first = prepare(elastic, settings)
    assert [line for line in first if "installed" in line or "made" in line] == first
    assert differences(elastic, settings) == []
    store = ElasticStore.open(settings)
    store.write([mention()])
    store.close()
    second = prepare(elastic, settings)
    assert [line for line in second if "as it should be" not in line] == []
    assert any("mentions-2026.03" in line for line in second)
    assert differences(elastic, settings) == []


def test_the_template_has_every_field_of_the_table_and_of_a_mention() -> None:
    fields = json.loads((MAPPINGS / "mentions.json").read_text())["template"]["mappings"]["properties"]
    kinds = {"text": "text", "keyword": "keyword", "integer": "long", "number": "double", "date": "date"}
    assert {one.name: kinds.get(one.kind, one.kind) for one in FIELDS} == {
        one.name: fields[one.name]["type"] for one in FIELDS
    }
    assert {one for one in Mention.__dataclass_fields__ if one not in fields} == set()
    assert values_of(mention()).keys() <= fields.keys()


def test_a_field_that_is_not_in_the_template_is_refused(elastic: Elastic, settings: ElasticSettings) -> None:
    prepare(elastic, settings)
    store = ElasticStore.open(settings)
    store.write([mention()])
    answer = elastic.ask("POST", f"/{settings.prefix}mentions-2026.03/_doc", {"never": "heard of"}, also=(400,))
    assert answer.error_type == "strict_dynamic_mapping_exception"
    store.close()


def test_plain_typing_finds_words_of_title_and_text(elastic: Elastic, settings: ElasticSettings) -> None:
    """As somebody does in Kibana, who knows nothing of our tokens."""
    prepare(elastic, settings)
    store = ElasticStore.open(settings)
    store.write([mention("1", text="The Crew was kind"), mention("2", title="A late CREW"), mention("3", text="x")])
    store.refresh()
    body = {"query": {"query_string": {"query": "crew"}}}
    hits = elastic.ask("POST", f"/{settings.prefix}mentions/_search", body).body["hits"]["hits"]
    assert sorted(hit["_source"]["post_id"] for hit in hits) == ["x:1", "x:2"]
    store.close()


def test_a_template_that_somebody_changed_is_installed_again(elastic: Elastic, settings: ElasticSettings) -> None:
    prepare(elastic, settings)
    name = f"{settings.prefix}mentions"
    body = template("mentions", settings)
    del body["template"]["mappings"]["properties"]["likes"]
    elastic.ask("PUT", f"/_index_template/{name}", body)
    assert [line for line in prepare(elastic, settings) if "its fields had been changed" in line]
    assert [line for line in prepare(elastic, settings) if "had been changed" in line] == []


def test_another_number_of_replicas_is_said_and_given_to_the_indices_that_are_there(
    elastic: Elastic, settings: ElasticSettings
) -> None:
    prepare(elastic, settings)
    elastic.ask("PUT", f"/{settings.prefix}mentions-2026.01", {})
    more = replace(settings, replicas=1)
    expected = {f"{settings.prefix}{name}" for name in (*FIXED, "mentions-2026.01")}
    told = [line for line in differences(elastic, more) if "number_of_replicas is 0, the settings say 1" in line]
    assert {line.removeprefix("index ").partition(":")[0] for line in told} == expected
    lines = prepare(elastic, more)
    assert [line for line in lines if "had been changed" in line] == []
    changed = [line for line in lines if "number_of_replicas was 0, is 1 now" in line]
    assert {line.removeprefix("index ").partition(":")[0] for line in changed if line.startswith("index ")} == expected
    assert len([line for line in changed if line.startswith("template ")]) == len(FIXED) + 1
    answer = elastic.ask("GET", f"/{settings.prefix}*/_settings", parameters={"flat_settings": "true"})
    assert {one["settings"]["index.number_of_replicas"] for one in answer.body.values()} == {"1"}
    assert differences(elastic, more) == []
    assert [line for line in prepare(elastic, more) if "as it should be" not in line] == []


def test_where_nothing_was_set_up_it_is_said_what_was_looked_for_and_what_is_there(
    elastic: Elastic, settings: ElasticSettings
) -> None:
    with pytest.raises(ConfigError) as nothing:
        check_ready(elastic, settings)
    assert f"{settings.prefix}tombstones" in str(nothing.value)
    assert "soundings setup" in str(nothing.value)
    prepare(elastic, settings)
    with pytest.raises(ConfigError) as other:
        check_ready(elastic, replace(settings, prefix="misspelt-"))
    (line,) = other.value.problems
    assert "misspelt-tombstones" in line
    assert f"{settings.prefix}" in line
    assert "elastic.prefix" in line


def test_no_writer_starts_on_tombstones_that_lack_fields_until_setup_has_run(
    elastic: Elastic, settings: ElasticSettings
) -> None:
    prepare(elastic, settings)
    index = f"/{settings.prefix}tombstones"
    elastic.ask("DELETE", index)
    body = template("tombstones", settings)
    for name in ("author_key", "taken_from"):
        del body["template"]["mappings"]["properties"][name]
    body["_meta"]["template_version"] = body["template"]["mappings"]["_meta"]["template_version"] = 1
    elastic.ask("PUT", f"/_index_template/{settings.prefix}tombstones", body)
    elastic.ask("PUT", index, {})
    with pytest.raises(ConfigError, match="soundings setup"):
        check_ready(elastic, settings)
    prepare(elastic, settings)
    check_ready(elastic, settings)


def test_an_index_that_lacks_new_fields_is_given_them(elastic: Elastic, settings: ElasticSettings) -> None:
    """An upgrade that adds a field needs no migration."""
    prepare(elastic, settings)
    name = f"{settings.prefix}mentions"
    body = template("mentions", settings)
    del body["template"]["mappings"]["properties"]["likes"]
    body["_meta"]["template_version"] = body["template"]["mappings"]["_meta"]["template_version"] = 0
    elastic.ask("PUT", f"/_index_template/{name}", body)
    elastic.ask("PUT", f"/{name}-2026.01", {})
    assert [line for line in differences(elastic, settings) if "2026.01" in line]
    lines = prepare(elastic, settings)
    assert [line for line in lines if "version 0 replaced" in line]
    assert [line for line in lines if "2026.01" in line and "likes" in line]
    assert differences(elastic, settings) == []
    store = ElasticStore.open(settings)
    one = mention(routing_month="2026.01", likes=3)
    store.write([one])
    assert store.get(one.mention_id) == one
    store.close()


def test_a_newer_programs_templates_are_left_alone(elastic: Elastic, settings: ElasticSettings) -> None:
    prepare(elastic, settings)
    name = f"{settings.prefix}mentions"
    body = template("mentions", settings)
    body["_meta"]["template_version"] = 99
    elastic.ask("PUT", f"/_index_template/{name}", body)
    with pytest.raises(ConfigError, match="version 99"):
        prepare(elastic, settings)


def test_an_index_made_without_the_template_is_never_written_to(elastic: Elastic, settings: ElasticSettings) -> None:
    prepare(elastic, settings)
    elastic.ask("DELETE", f"/_index_template/{settings.prefix}mentions")
    store = ElasticStore.open(settings)
    with pytest.raises(ConfigError, match="without our template"):
        store.write([mention()])
    store.close()


def test_what_the_server_refuses_is_said_with_what_to_do(elastic: Elastic) -> None:
    with pytest.raises(BackendDown, match="soundings setup"):
        elastic.ask("GET", "/never-made/_mapping")
    add = {"add": {"index": "never-made", "alias": "a"}}
    with pytest.raises(BackendDown, match=r"index_not_found_exception: no such index \[never-made\]"):
        elastic.ask("POST", "/_aliases", {"actions": [add]})
