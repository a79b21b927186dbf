"""What counts as a change: of what the pods run, and of a spec that failed."""

from typing import Any

import pytest
from pydantic import Field

from modelrollout.api.slo import Slo
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.engine.revision import fingerprint_of, revision_of
from support.rollouts import changed, valid

URI = {"spec.model.uri": "s3://models/scorer/other"}
METADATA = {"spec.model.metadata": {"f1": "0.87"}}
CONTAINER = "spec.template.spec.containers.0"


def wire(**changes: Any) -> dict[str, Any]:
    """The valid spec with changes at dotted paths."""
    spec: dict[str, Any] = changed(valid(), changes)["spec"]
    return spec


def spec(**changes: Any) -> ModelRolloutSpec:
    return ModelRolloutSpec.model_validate(wire(**changes))


def revision(**changes: Any) -> str:
    return revision_of("scorer", spec(**changes))


def fingerprint(**changes: Any) -> str:
    return fingerprint_of(spec(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        URI,
        {"spec.model.version": "2.2.0"},
        {"spec.model.name": "other"},
        {f"{CONTAINER}.image": "other:1"},
        {f"{CONTAINER}.env.0.value": "debug"},
    ],
)
def test_another_model_or_template_is_another_attempt_and_worth_a_try(changes: dict[str, Any]) -> None:
    assert revision(**changes) != revision()
    assert fingerprint(**changes) != fingerprint()


@pytest.mark.parametrize("changes", [METADATA, {"spec.replicas": 7}, {"spec.slos.0.limit": "2%"}])
def test_nothing_else_is_another_attempt(changes: dict[str, Any]) -> None:
    assert revision(**changes) == revision()


def test_a_model_without_a_name_has_that_of_the_rollout() -> None:
    assert revision_of("scorer", spec(**{"spec.model.name": ""})) == revision()


@pytest.mark.parametrize(
    "changes",
    [
        METADATA,
        {"spec.paused": True},
        {"spec.replicas": 7},
        {"spec.readyWhen": "Complete"},
        {"spec.deletionPolicy": "Delete"},
        {"spec.revisionHistoryLimit": 0},
        {"spec.service.longestAnswer": "10m"},
        {"spec.disruptionBudget": {"maxUnavailable": 1}},
        {"spec.service": {"longestAnswer": "10m", "targetPort": "http", "port": 80}},
    ],
)
def test_what_changes_nothing_about_a_failure_is_no_other_try(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) == fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.slos.0.limit": "2%"},
        {"spec.slos": []},
        {"spec.slos.0.consecutiveBreaches": 3},
        {"spec.strategy.canary.steps.0.weight": 20},
        {"spec.strategy.canary.steps.0.hold": "2m"},
        {"spec.strategy": {"blueGreen": {}}},
        {"spec.traffic": {"replicas": {}}},
        {"spec.warmUp.requests": 20},
        {"spec.progressDeadline": "1h"},
    ],
)
def test_what_may_change_the_outcome_is_another_try(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


@pytest.mark.parametrize(
    "strategies", [({"canary": {}}, {"blueGreen": {}}), ({"blueGreen": {}}, {"blueGreen": {"validation": "2m"}})]
)
def test_strategies_left_to_their_defaults_are_told_apart(strategies: tuple[Any, Any]) -> None:
    first, second = (fingerprint(**{"spec.strategy": strategy}) for strategy in strategies)
    assert first != second


def test_a_default_counts_the_same_written_or_left_out() -> None:
    written = {
        "spec.slos.0.consecutiveBreaches": 2,
        "spec.strategy.canary.steps.0.onDeadline": "Hold",
        "spec.traffic.gatewayAPI.pathPrefix": "/",
    }
    assert fingerprint(**written) == fingerprint()


class LaterSlo(Slo):
    """An SLO of a later release."""

    on_silence: str = "Hold"


class LaterSpec(ModelRolloutSpec):
    """The spec of a later release, with options that this one does not know."""

    slos: list[LaterSlo] = Field(default_factory=list)  # type: ignore[assignment] # nobody writes to this list
    quiet_hours: str = "None"


def test_a_later_release_with_new_options_does_not_try_again_what_failed() -> None:
    later = LaterSpec.model_validate(wire(**{"spec.slos.0.onSilence": "Hold", "spec.quietHours": "None"}))
    assert fingerprint_of(later) == fingerprint()
    assert revision_of("scorer", later) == revision()
    used = LaterSpec.model_validate(wire(**{"spec.slos.0.onSilence": "Revert"}))
    assert fingerprint_of(used) != fingerprint()
