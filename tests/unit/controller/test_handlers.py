import asyncio
from typing import Any

import kopf
import pytest

from modelrollout.controller.handlers import kopf_settings, registry
from modelrollout.controller.kinds import DEPLOYMENTS, GATEWAYS, MODEL_ROLLOUTS, WATCHED, Kind


def resource(kind: Kind) -> kopf.Resource:
    return kopf.Resource(kind.group, kind.version, kind.plural, namespaced=kind.namespaced)


@pytest.mark.parametrize("kind", WATCHED, ids=str)
def test_children_are_watched_by_their_label_and_nothing_else_is(kind: Kind) -> None:
    settings = kopf_settings(WATCHED, whole_cluster=True)
    selectors = settings.watching.label_selectors.collect(resource(kind))
    assert selectors == ([kind.selector] if kind.selector else [])


def test_kopf_reads_crds_only_with_rights_in_the_whole_cluster() -> None:
    assert not kopf_settings(WATCHED, whole_cluster=True).scanning.disabled
    assert kopf_settings(WATCHED, whole_cluster=False).scanning.disabled


def test_kopf_never_gives_a_watch_up() -> None:
    pauses: Any = kopf_settings(WATCHED, whole_cluster=True).networking.error_backoffs
    backoffs = iter(pauses)
    first = [next(backoffs) for _ in range(100)]
    assert first[0] < 1
    assert max(first) <= 8


def test_handlers_leave_nothing_on_the_objects() -> None:
    handlers = registry(WATCHED, lambda *_: None)
    for others in (handlers._changing, handlers._spawning, handlers._indexing, handlers._webhooks):
        assert not others.get_all_handlers()


def test_every_event_is_passed_on_with_its_kind() -> None:
    passed: list[Any] = []
    handlers = registry([MODEL_ROLLOUTS, DEPLOYMENTS, GATEWAYS], lambda *event: passed.append(event))
    for handler, event in zip(handlers._watching.get_all_handlers(), ("ADDED", None, "DELETED"), strict=True):
        fn: Any = handler.fn
        asyncio.run(fn(event={"type": event, "object": {"a": 1}}, other="ignored"))
    assert passed == [
        (MODEL_ROLLOUTS, "ADDED", {"a": 1}),
        (DEPLOYMENTS, None, {"a": 1}),
        (GATEWAYS, "DELETED", {"a": 1}),
    ]
