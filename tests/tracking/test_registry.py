import pytest
from factories import written
from factories.written import Trial

from study.tracking import registry
from study.tracking.store import connect

YAML = "question: Why?\narms:\n  list: [{name: a}, {name: b, l2: 0.1}]\n"


@pytest.fixture
def client(store):
    return connect()


def test_the_first_is_champion_and_the_next_makes_it_previous(client):
    run_id = written.write(YAML, [Trial("a", 1)])
    source = client.get_run(run_id).info.artifact_uri
    assert registry.champion(client, "digits") is None
    first = registry.crown(client, "digits", source, run_id, "the first", {"config.l2": "0.1"})
    assert registry.champion(client, "digits") == first
    assert "digits" in registry.champions(client)
    assert (first.number, first.run_id, first.tags) == ("1", run_id, {"config.l2": "0.1"})
    second = registry.crown(client, "digits", source, run_id, "the second", {})
    assert registry.champion(client, "digits").number == second.number == "2"
    assert str(client.get_model_version_by_alias("digits", "previous").version) == "1"
    assert client.get_model_version("digits", "2").description == "the second"


def test_a_model_without_a_champion_has_none(client):
    client.create_registered_model("nobody")
    assert registry.champion(client, "nobody") is None
    assert "nobody" not in registry.champions(client)


def test_champions_are_found_on_every_page_of_the_registry(client, monkeypatch):
    ask = type(client).search_registered_models
    monkeypatch.setattr(type(client), "search_registered_models", lambda self, **how: ask(self, max_results=1, **how))
    run_id = written.write(YAML, [Trial("a", 1)])
    for name in ("one", "two"):
        registry.crown(client, name, client.get_run(run_id).info.artifact_uri, run_id, "", {})
    assert {"one", "two"} <= set(registry.champions(client))
