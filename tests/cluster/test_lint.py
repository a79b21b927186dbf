"""`lint` and the API server agree on whatever is written into a ModelRollout, field by field."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException

from modelrollout.cli.lint import refusals
from support.rollouts import ABSENT, Object, Rollouts, changed, valid

JUNK: list[Any] = [
    *(ABSENT, None, "", "x", "0", "5m", "50%", -1, 0, 1, 10**6, 1.5, True),
    *([], [None], ["x"], {}, {"x": "y"}),
]


def whole() -> Object:
    """A rollout that has a field of every sort."""
    require = {"slos": ["errors"], "approvals": [{"role": "security", "count": 2}], "checklist": ["runbook"]}
    window = {"days": ["Mon"], "from": "09:00", "to": "16:00", "timeZone": "Europe/Berlin"}
    return changed(
        valid(),
        {
            "spec.strategy.canary.steps.0.require": require,
            "spec.strategy.canary.steps.0.window": window,
            "spec.bake": {"duration": "1h", "slos": ["errors"]},
            "spec.retry": {"limit": 1, "after": "10m"},
            "spec.slos.0.onBreach": "Hold",
            "spec.slos.0.revertAfter": "1h",
        },
    )


def paths(value: Any, path: str) -> Iterator[str]:
    """All fields below one, and the field itself."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in items:
        yield from paths(below, f"{path}.{name}")


def server_takes(rollouts: Rollouts, rollout: Object) -> bool:
    try:
        rollouts.create(rollout, dry_run=True)
    except ApiException as error:
        if error.status not in (400, 422):
            raise
        return False
    return True


@pytest.mark.parametrize("part", list(whole()["spec"]))
def test_agrees_with_the_api_server_on_every_field(part: str, client: ApiClient) -> None:
    rollouts = Rollouts(client, "default")
    written = [(path, junk) for path in paths(whole()["spec"][part], f"spec.{part}") for junk in JUNK]
    disagreed = []
    for path, junk in written:
        rollout = changed(whole(), {path: junk})
        found = [str(one) for one in refusals(rollout)]
        if server_takes(rollouts, rollout) is bool(found):
            disagreed.append((path, "removed" if junk is ABSENT else junk, found))
    assert disagreed == []
