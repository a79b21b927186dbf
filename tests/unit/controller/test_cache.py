import weakref
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.objects import Live
from modelrollout.controller.cache import Cache
from modelrollout.controller.kinds import DEPLOYMENTS, GATEWAYS, Key

KEY = Key("ml", "scorer")


def manifest(version: int | str, *, name: str = "scorer", **content: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "ml", "name": name, "resourceVersion": str(version)},
        **content,
    }


def version_of(cache: Cache[Live]) -> str:
    live = cache.get(KEY)
    assert live
    return str(live["metadata"]["resourceVersion"])


@pytest.fixture
def cache() -> Cache[Live]:
    return Cache(DEPLOYMENTS, lambda read: read)


def test_keeps_what_it_was_given_with_its_version(cache: Cache[Live]) -> None:
    assert cache.put(manifest(7, spec={"replicas": 2}))
    assert cache.get(KEY) == manifest(7, spec={"replicas": 2})
    assert len(cache) == 1


def test_an_older_state_does_not_replace_a_newer_one(cache: Cache[Live]) -> None:
    cache.put(manifest(10, spec={"replicas": 2}))
    assert not cache.put(manifest(9, spec={"replicas": 1}))
    assert cache.get(KEY) == manifest(10, spec={"replicas": 2})


def test_the_same_content_under_a_new_version_is_no_news_but_gives_the_new_version(cache: Cache[Live]) -> None:
    cache.put(manifest(10, spec={"replicas": 2}))
    assert not cache.put(manifest(11, spec={"replicas": 2}))
    assert version_of(cache) == "11"


def test_a_removal_older_than_what_is_known_is_of_an_earlier_incarnation(cache: Cache[Live]) -> None:
    cache.put(manifest(20))
    assert not cache.remove(manifest(15))
    assert cache.get(KEY) is not None


def test_a_removal_by_our_own_write_has_the_version_of_its_answer(cache: Cache[Live]) -> None:
    cache.put(manifest(20))
    assert cache.remove(manifest(20))
    assert cache.get(KEY) is None


def test_a_late_answer_does_not_raise_the_dead(cache: Cache[Live]) -> None:
    cache.put(manifest(10))
    cache.remove(manifest(12))
    assert not cache.put(manifest(11))
    assert cache.get(KEY) is None
    assert cache.put(manifest(13)), "a new incarnation must be taken in"


def test_a_list_takes_away_ghosts_and_nothing_that_is_newer_than_it(cache: Cache[Live]) -> None:
    cache.put(manifest(10, name="listed"))
    cache.put(manifest(11, name="ghost"))
    cache.put(manifest(40, name="newer"))
    ghosts = cache.keep_only({Key("ml", "listed")}, namespace="", resource_version="30")
    assert ghosts == [manifest(11, name="ghost")]
    assert len(cache) == 2
    assert cache.get(Key("ml", "listed"))
    assert cache.get(Key("ml", "newer"))


def test_a_list_of_one_namespace_says_nothing_of_others(cache: Cache[Live]) -> None:
    cache.put(manifest(10))
    assert cache.keep_only(set(), namespace="other", resource_version="30") == []
    assert cache.keep_only(set(), namespace="ml", resource_version="30") == [manifest(10)]


def test_versions_that_are_no_integers_count_in_the_order_they_come(cache: Cache[Live]) -> None:
    cache.put(manifest("b", spec={"replicas": 1}))
    assert cache.put(manifest("a", spec={"replicas": 2}))
    assert version_of(cache) == "a"


def test_what_nobody_reads_is_left_out() -> None:
    gateways: Cache[Live] = Cache(GATEWAYS, lambda read: read)

    def gateway(version: int, attached: int) -> dict[str, Any]:
        return {
            "kind": "Gateway",
            "metadata": {
                "namespace": "infra",
                "name": "public",
                "resourceVersion": str(version),
                "managedFields": [{"manager": "x"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"},
            },
            "status": {"listeners": [{"name": "http", "attachedRoutes": attached}], "addresses": []},
        }

    assert gateways.put(gateway(1, attached=3))
    assert not gateways.put(gateway(2, attached=4)), "another route on the Gateway is no news to the others"
    assert gateways.get(Key("infra", "public")) == {
        "kind": "Gateway",
        "metadata": {"namespace": "infra", "name": "public", "resourceVersion": "2", "annotations": {"kept": "yes"}},
        "status": {"listeners": [{"name": "http"}], "addresses": []},
    }


def test_a_fleet_that_was_looked_at_once_is_not_kept_decoded() -> None:
    decoded: weakref.WeakSet[Decoded] = weakref.WeakSet()

    def decode(read: Live) -> Decoded:
        one = Decoded(read)
        decoded.add(one)
        return one

    cache: Cache[Decoded] = Cache(DEPLOYMENTS, decode)
    for number in range(2000):
        cache.put(manifest(number + 1, name=f"scorer-{number}"))
        cache.get(Key("ml", f"scorer-{number}"))
    assert 0 < len(decoded) < 500


def test_what_one_look_reads_again_and_again_is_decoded_once() -> None:
    cache: Cache[Decoded] = Cache(DEPLOYMENTS, Decoded)
    cache.put(manifest(7))
    assert cache.get(KEY) is cache.get(KEY)


@dataclass(eq=False)
class Decoded:
    """Something that can be referred to weakly."""

    read: Live


@given(st.permutations([("put", 1), ("put", 2), ("remove", 3), ("put", 4), ("put", 5)]))
def test_whatever_the_order_the_newest_state_stands(arrivals: list[tuple[str, int]]) -> None:
    cache: Cache[Live] = Cache(DEPLOYMENTS, lambda read: read)
    for what, version in arrivals:
        (cache.put if what == "put" else cache.remove)(manifest(version))
    assert version_of(cache) == "5"


@given(st.permutations([("put", 1), ("put", 2), ("remove", 3)]))
def test_whatever_the_order_the_dead_stay_dead(arrivals: list[tuple[str, int]]) -> None:
    cache: Cache[Live] = Cache(DEPLOYMENTS, lambda read: read)
    for what, version in arrivals:
        (cache.put if what == "put" else cache.remove)(manifest(version))
    assert cache.get(KEY) is None
