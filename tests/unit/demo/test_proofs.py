"""The demo's proofs hold for a rollout as it should be, and each fails when the numbers say otherwise."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from demo import proofs
from demo.proofs import Evidence, prove
from demo.summary import show
from stack.evidence import Window
from stack.history import State
from traffic_client import Answer

RAISED = {"status": 500, "version": "", "error": "Internal Server Error"}
STAGES = [(10.0, 20.0, 10), (20.0, 30.0, 25), (30.0, 40.0, 50), (40.0, 50.0, 100)]
TAKEN_BACK_AT = 70.0
SLO = {"name": "errors", "limit": "1%", "minSamples": 20}


@dataclass
class History:
    states: list[State]


@dataclass
class Model:
    """A model whose rollouts are over: 1.1.0 from second 5 to 50, 1.2.0-failing from 55 to 72."""

    weights: list[tuple[float, float, float]] = field(
        default_factory=lambda: [
            (0.0, 10.0, 0),
            *STAGES,
            (50.0, 60.0, 0),
            (60.0, TAKEN_BACK_AT, 10),
            (TAKEN_BACK_AT, float("inf"), 0),
        ]
    )
    moments: list[tuple[float, str | None]] = field(
        default_factory=lambda: [
            *[(5.0, "1.1.0"), (49.0, "1.1.0"), (50.0, None)],
            *[(55.0, "1.2.0-failing"), (72.0, "1.2.0-failing")],
        ]
    )
    reason: str = "SLOBreached"
    """Of the revert; empty when there was none."""

    @property
    def history(self) -> History:
        return History(
            [State(at, {"status": {"candidate": version and {"version": version}}}) for at, version in self.moments]
        )

    @property
    def status(self) -> dict[str, Any]:
        record = {"version": "1.2.0-failing", "reason": self.reason, "message": "SLO errors breached"}
        return {"lastRevert": record if self.reason else None, "stable": {"version": "1.1.0", "colour": "green"}}

    def windows(self) -> list[Window]:
        return [Window(*weight) for weight in self.weights]


def answers() -> Iterator[Answer]:
    """Ten requests a second for 80 seconds, every share as declared, a third of the bad version's failed."""
    model = Model()
    for number in range(800):
        at = number / 10
        weight = next(window.weight for window in model.windows() if window.start <= at < window.end)
        to_candidate = weight and number % round(100 / weight) == 0
        old, new = ("1.0.0", "1.1.0") if at < 50 else ("1.1.0", "1.2.0-failing")
        answer: dict[str, Any] = {"status": 200, "version": new if to_candidate else old, "error": ""}
        if to_candidate and at >= 60 and number % 3 == 0:
            answer = RAISED
        yield Answer(sent_at=at, seconds=0.01, variant="candidate" if to_candidate else "stable", **answer)


def evidence(*, model: Model | None = None, more: Iterable[Answer] = ()) -> Evidence:
    every: Any = model or Model()
    return Evidence(model=every, good="1.1.0", bad="1.2.0-failing", slo=SLO, answers=[*answers(), *more])


def broken(found: Evidence) -> list[str]:
    return [proof.claim for proof in prove(found) if not proof.holds]


def other(at: float, **fields: Any) -> Answer:
    usual: dict[str, Any] = {"seconds": 0.01, "status": 200, "variant": "stable", "version": "1.1.0", "error": ""}
    return Answer(sent_at=at, **usual | fields)


@pytest.fixture(autouse=True)
def seen_at(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """When Prometheus first showed the breach."""
    seen: list[float | None] = [TAKEN_BACK_AT - 1.5]
    monkeypatch.setattr(proofs, "first_seen", lambda *_: seen[0])
    return seen


def test_all_hold_when_all_is_well() -> None:
    assert broken(evidence()) == []


@pytest.mark.parametrize(
    "failure",
    [
        other(45.0, status=500, version=""),
        other(65.0, status=503, version="", error="no healthy upstream"),
        other(65.0, status=0, version="", variant="", error="TimeoutError: "),
        other(15.0, variant="candidate", **RAISED),
        other(65.0, variant="stable", **RAISED),
    ],
    ids=["empty 500", "no upstream", "no answer", "of the good version", "of stable"],
)
def test_any_other_failure_is_seen(failure: Answer) -> None:
    assert broken(evidence(more=[failure])) == ["no request failed but by the fault of version 1.2.0-failing"]


def test_a_share_beyond_its_stage_is_seen() -> None:
    more = [other(61 + number / 100, variant="candidate") for number in range(40)]
    assert broken(evidence(more=more)) == ["version 1.2.0-failing got no more than its 10 %"]


def test_a_stray_request_after_the_revert_is_seen() -> None:
    stray = other(TAKEN_BACK_AT + 2, variant="candidate")
    assert broken(evidence(more=[stray])) == ["version 1.2.0-failing got nothing once it was taken back"]


def test_another_reason_is_no_proof() -> None:
    claims = broken(evidence(model=Model(reason="CandidateUnavailable")))
    assert claims == ["version 1.2.0-failing was taken back at its first stage"]


def test_a_second_stage_of_the_bad_version_is_seen() -> None:
    model = Model()
    model.weights[-1:] = [(TAKEN_BACK_AT, 70.5, 25), (70.5, float("inf"), 0)]
    assert "version 1.2.0-failing was taken back at its first stage" in broken(evidence(model=model))


@pytest.mark.parametrize("seen", [None, TAKEN_BACK_AT - 30, TAKEN_BACK_AT + 1])
def test_a_late_or_unfounded_revert_is_seen(seen_at: list[float | None], seen: float | None) -> None:
    seen_at[0] = seen
    assert broken(evidence()) == ["the revert followed the breach within seconds"]


def test_a_bad_version_that_had_no_stage_proves_nothing() -> None:
    model = Model()
    model.weights[-2:] = [(60.0, float("inf"), 0)]
    said = broken(evidence(model=model))
    assert "version 1.2.0-failing was taken back at its first stage" in said
    assert "version 1.2.0-failing got nothing once it was taken back" in said
    assert "the revert followed the breach within seconds" in said


def test_without_a_failure_nothing_is_proved() -> None:
    found = evidence()
    good = replace(found, answers=[one for one in found.answers if one.is_good])
    claims = ["no request failed but by the fault of version 1.2.0-failing"]
    assert broken(good) == [*claims, "the revert followed the breach within seconds"]


def test_versions_that_were_never_tried_prove_nothing() -> None:
    model = Model(weights=[(0.0, float("inf"), 0)], moments=[(5.0, None)], reason="")
    assert not show(Console(file=StringIO()), evidence(model=model))
    assert len(broken(evidence(model=model))) == 5


def test_the_summary_says_whether_everything_holds() -> None:
    out = StringIO()
    assert show(Console(file=out, width=200), evidence())
    assert "1.2.0-failing" in out.getvalue()
    assert not show(Console(file=StringIO()), evidence(more=[other(45.0, status=0)]))
