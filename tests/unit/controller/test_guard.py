"""Whether the author of a RolloutAction can be believed, by what the watches tell of the policy."""

from datetime import datetime
from typing import Any

import pytest

from modelrollout.controller import guard
from modelrollout.controller.kinds import GUARDS, POLICIES, POLICY_BINDINGS, Kind
from support.rendering import Cluster

SPECS: dict[Kind, dict[str, Any]] = {
    POLICIES: {},
    POLICY_BINDINGS: {"policyName": guard.POLICY, "validationActions": ["Deny", "Audit"]},
}


def live(kind: Kind, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "metadata": {"name": guard.POLICY, "creationTimestamp": created},
        "spec": SPECS[kind] | spec,
    }


def test_it_is_in_force_since_a_moment_after_the_later_of_policy_and_binding() -> None:
    seen = Cluster(live(POLICIES, "2026-01-02T00:00:00Z"), live(POLICY_BINDINGS))
    assert guard.in_force_since(seen) == datetime.fromisoformat("2026-01-02T00:00:10Z")


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [live(POLICIES)],
        [live(POLICY_BINDINGS)],
        [live(POLICIES), live(POLICY_BINDINGS, validationActions=["Warn"])],
        [live(POLICIES), live(POLICY_BINDINGS, policyName="another")],
        [live(POLICIES), live(POLICY_BINDINGS, matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}})],
    ],
    ids=["neither", "no binding", "no policy", "only warns", "of another policy", "elsewhere"],
)
def test_anything_less_checks_nobody(objects: list[dict[str, Any]]) -> None:
    assert guard.in_force_since(Cluster(*objects)) is None


def test_what_is_not_watched_is_not_in_force() -> None:
    hidden = frozenset((kind.kind, "") for kind in GUARDS)
    assert guard.in_force_since(Cluster(live(POLICIES), live(POLICY_BINDINGS), hidden=hidden)) is None
