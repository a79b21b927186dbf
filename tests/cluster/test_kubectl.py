"""What people see of a ModelRollout in kubectl."""

import re
from datetime import UTC, datetime

import pytest
from kubernetes.client import ApiClient

import testbed
from modelrollout.api.slo import Verdict
from modelrollout.api.status import (
    Colour,
    ColourStatus,
    Condition,
    ConditionStatus,
    ModelRolloutStatus,
    Phase,
    RevertStatus,
    SloStatus,
    StageStatus,
    WeightsStatus,
)
from support.rollouts import Rollouts, valid
from testbed.waiting import wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rollouts(client: ApiClient, namespace: str) -> Rollouts:
    return Rollouts(client, namespace)


def full_status() -> ModelRolloutStatus:
    """A status in which every part says something."""
    stable = ColourStatus(
        colour=Colour.BLUE, version="2.0.0", revision="r1", attempt=1, since=NOW, warm=True, load_seconds=3.5
    )
    return ModelRolloutStatus(
        observed_generation=1,
        phase=Phase.PROGRESSING,
        attempt=2,
        stage=StageStatus(index=0, count=2, name="canary-10", weight=10, entered_at=NOW, reached_at=NOW),
        weights=WeightsStatus(declared=10, reachable=10, observed=9.5),
        stable=stable,
        candidate=stable.model_copy(update={"colour": Colour.GREEN, "version": "2.1.0", "attempt": 2}),
        previous=stable,
        version="2.1.0",
        verdict="Inconclusive",
        slos=[SloStatus(name="errors", verdict=Verdict.PASS, reason="WithinLimit", value=0.001, limit=0.01, at=NOW)],
        last_revert=RevertStatus(version="1", attempt=1, fingerprint="f", reason="Breach", message="errors", at=NOW),
        reachable_weights=[33.3, 50, 100],
        replicas=2,
        ready_replicas=2,
        selector="modelrollout.io/name=scorer",
        conditions=[
            Condition(
                type="Ready",
                status=ConditionStatus.FALSE,
                reason="Progressing",
                message="waits for samples",
                last_transition_time=NOW,
                observed_generation=1,
            )
        ],
    )


def table_of(printed: str) -> dict[str, str]:
    """The only row of what `kubectl get` printed, by column."""
    heads, row = (re.split(r" {2,}|\s*$", line.strip()) for line in printed.splitlines())
    return {head: cell for head, cell in zip(heads, row, strict=True) if head}


def test_keeps_the_whole_status(rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    written = rollouts.write_status("scorer", full_status().to_wire())
    assert ModelRolloutStatus.model_validate(written["status"]) == full_status()
    assert written["status"].keys() == full_status().to_wire().keys()


def test_get_prints_what_matters(bed: testbed.Bed, rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    rollouts.write_status("scorer", full_status().to_wire())
    narrow = table_of(bed.kubectl("get", "mr", "-n", rollouts.namespace))
    assert list(narrow) == ["NAME", "VERSION", "PHASE", "STAGE", "WEIGHT", "VERDICT", "AGE"]
    assert list(narrow.values())[:-1] == ["scorer", "2.1.0", "Progressing", "canary-10", "9.5", "Inconclusive"]
    wide = table_of(bed.kubectl("get", "mr", "-n", rollouts.namespace, "-o", "wide"))
    assert (wide["STABLE"], wide["MESSAGE"]) == ("2.0.0", "waits for samples")


def test_get_all_shows_it(bed: testbed.Bed, rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    assert "modelrollout.modelrollout.io/scorer" in bed.kubectl("get", "all", "-n", rollouts.namespace)


def test_scales(bed: testbed.Bed, rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    rollouts.write_status("scorer", full_status().to_wire())
    bed.kubectl("scale", "mr/scorer", "--replicas=3", "-n", rollouts.namespace)
    scaled = bed.get("mr/scorer", "-n", rollouts.namespace)
    assert scaled["spec"]["replicas"] == 3
    scale = bed.get("mr/scorer", "-n", rollouts.namespace, "--subresource=scale")
    assert scale["status"] == {"replicas": 2, "selector": "modelrollout.io/name=scorer"}


def test_does_not_scale_to_nothing(bed: testbed.Bed, rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    with pytest.raises(testbed.BedError, match=r"spec\.replicas.* greater than or equal to 1"):
        bed.kubectl("scale", "mr/scorer", "--replicas=0", "-n", rollouts.namespace)


PATHS = (
    *("spec", "spec.model", "spec.template.spec.containers", "spec.traffic.gatewayAPI", "spec.strategy.canary.steps"),
    *("spec.slos", "spec.slos.query", "spec.warmUp", "status", "status.slos", "status.stage", "status.conditions"),
)


@pytest.mark.parametrize("path", PATHS)
def test_explain_describes_every_field(path: str, bed: testbed.Bed) -> None:
    wait_until(
        lambda: "modelrollout.io/v1alpha1" in bed.kubectl("get", "--raw", "/openapi/v3"), what="schema", timeout=30
    )
    fields = bed.kubectl("explain", f"mr.{path}").split("FIELDS:\n")[1]
    entries = re.split(r"\n(?=  \w+\t<)", f"\n{fields.rstrip()}")[1:]
    assert entries
    silent = [entry for entry in entries if "<no description>" in entry or len(entry.strip().splitlines()) < 2]
    assert silent == []


def test_explain_tells_how_an_slo_is_written(bed: testbed.Bed) -> None:
    said = " ".join(bed.kubectl("explain", "mr.spec.slos").split())
    for words in (
        "What must hold while the candidate takes traffic.",
        "enum: error-ratio, latency",
        "limit <string>",
        "baseline <Object>",
        "0.5% for a share, 0.3 for a query's value.",
        "Default: 2m.",
    ):
        assert words in said
