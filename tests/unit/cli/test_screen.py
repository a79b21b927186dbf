"""What people see: `status` on one screen and `get` one a line."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from modelrollout.cli.get import table
from modelrollout.cli.screen import at_a_glance
from support.moments import NOW, ago, in_canary_10, promoted, seen, taken_back
from support.rollouts import Object


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are told as on a machine that keeps UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


WORD = {"by": "ann", "at": ago(minutes=3), "reason": "[red] numbers"}


def rendered(shown: RenderableType, *, width: int = 120) -> str:
    console = Console(width=width, color_system=None, record=True, file=StringIO())
    console.print(shown)
    return console.export_text()


def screen(status: Object, changes: Object | None = None) -> list[str]:
    """The lines, with runs of spaces made one."""
    lines = rendered(at_a_glance(seen(status, changes), NOW)).splitlines()
    return [re.sub(r" +", " ", line).strip() for line in lines]


def test_the_head_says_where_it_is() -> None:
    assert screen(in_canary_10())[0] == "scorer in ml: Progressing, attempt 2, ready"
    assert screen(taken_back())[0] == "scorer in ml: Reverted, attempt 2, not ready"


def test_a_stage_shows_versions_progress_weights_and_slos() -> None:
    lines = screen(in_canary_10())
    for line in (
        "Now stage canary-10 holds until 2026-01-05 12:00:40Z",
        "stable 2.0.0 blue 3d 2 of 2 pods ready",
        "candidate 2.1.0 green 5m warm, loaded in 31s",
        "Stages ▶ canary-10 ○ canary-100",
        "Deadline Hold in 4m40s (12:04:40 UTC) if undecided",
        "Weight 9.5 % of the requests, 10 % declared",
        "errors Pass 0.12% 1% 1,204 WithinLimit",
        "latency Breach 2x 7.1% 5% 900 AboveLimit 7.1 % of 900 requests were slower",
        "drift Inconclusive - 0.3 QueryEmpty nothing came back",
        "kubectl modelrollout abort scorer",
    ):
        assert line in lines, "\n".join(lines)
    assert any(line.startswith("Hold ") and line.endswith("20s of 1m") for line in lines)


def test_what_is_known_of_counts_is_a_sentence_for_each_slo_also_of_one_that_passes() -> None:
    message = "1 of 120 requests failed (0.83%), last 2m; in this attempt 0.91% of 1,204; evidence of harm 1.31 of 100"
    comparison = {"candidate": {"bad": 11, "total": 1204}, "stable": {}, "evidence": 1.31}
    errors = in_canary_10()["slos"][0] | {"message": message, "comparison": comparison}
    lines = screen(in_canary_10(slos=[errors]))
    assert "errors Pass 0.12% 1% 1,204 WithinLimit" in lines
    assert f"errors: {message}" in lines


def test_a_value_beside_stables_is_no_share() -> None:
    mae = {"name": "drift", "query": {"value": 'mae{colour="$arm"}'}, "baseline": {"maxIncrease": "25%"}}
    at = {"verdict": "Pass", "reason": "NoWorse", "value": 12.5, "at": ago(seconds=5)}
    status = in_canary_10(slos=[{"name": "drift", **at}])
    assert "drift Pass 12.5 stable +25% NoWorse" in screen(status, {"spec.slos.2": mae})


def test_a_weight_that_cannot_be_reached_is_named() -> None:
    status = in_canary_10(weights={"declared": 40, "reachable": 33.33, "observed": 33.33})
    line = "Weight 33.33 % of the requests, 40 % declared (33.33 % can be reached)"
    assert line in screen(status, {"spec.traffic": {"replicas": {}}})


def test_without_room_for_two_copies_it_says_what_could_be_taken_back_at_once() -> None:
    capacity = {"plan": "ShrinkStable", "reason": "Unschedulable", "message": "no GPU", "room": 5, "revertCapacity": 75}
    told = (
        "ShrinkStable, with room for 5 pods; 75 % of the pods are there to go back to at once (Unschedulable: no GPU)"
    )
    assert f"Capacity {told}" in screen(in_canary_10(capacity=capacity))
    assert not any(line.startswith("Capacity") for line in screen(in_canary_10(capacity={"plan": "Surge"})))


def test_a_revert_is_told_with_its_evidence_and_what_can_be_done() -> None:
    lines = screen(taken_back())
    for line in (
        "Stages ✗ canary-10 ○ canary-100",
        "SLOBreached: SLO errors breached 2 times in a row: 4.1 % of 900 requests failed",
        "Ready False Reverted: version 2.1.0 was taken back",
        "kubectl modelrollout retry scorer",
    ):
        assert line in lines, "\n".join(lines)
    assert any(line.startswith("version 2.1.0 (attempt 2) in stage canary-10, 7m ago") for line in lines)


def test_a_promotion_shows_what_can_take_everything_back() -> None:
    lines = screen(promoted())
    assert any(line.startswith("previous 2.0.0 blue 10m kept warm until ") for line in lines)
    assert not any(line.startswith(("Stages", "Weight")) for line in lines)
    long_answers = screen(promoted(), {"spec.service.longestAnswer": "9h", "spec.rollback.keepWarm": "0s"})
    (kept,) = [line.partition(" until ")[2] for line in long_answers if line.startswith("previous ")]
    begun = NOW - timedelta(minutes=10)
    assert kept == f"{begun + timedelta(hours=9, seconds=2):%H:%M:%S} UTC"


def test_people_who_stepped_in_are_named_in_their_own_words() -> None:
    lines = screen(in_canary_10(killed=WORD, held=WORD, promoting=True), {"spec.paused": True})
    assert "KILLED by ann 3m ago: [red] numbers; nothing is tried until it is lifted" in lines
    assert "PAUSED by ann 3m ago: [red] numbers" in lines
    assert "PAUSED by spec.paused" in lines


def test_missing_approvals_and_excluded_cohorts_are_shown() -> None:
    require = {"spec.strategy.canary.steps.0.require": {"approvals": [{"role": "security"}]}}
    lines = screen(in_canary_10(excluded=[{"header": "x-ring", "value": "internal"}]), require)
    assert "approval by security: 0 of 1" in lines
    assert "Excluded x-ring=internal stays on stable" in lines


def test_one_that_no_operator_has_seen_is_shown_too() -> None:
    assert "Now no operator has looked at it yet" in screen({"observedGeneration": -1})


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_any_terminal(width: int) -> None:
    text = rendered(at_a_glance(seen(in_canary_10()), NOW), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "canary-10" in text


def test_get_shows_one_a_line() -> None:
    rollouts = [seen(in_canary_10()), seen(taken_back())]
    head, first, second = rendered(table(rollouts, NOW, with_namespace=True), width=160).splitlines()
    assert " ".join(head.split()) == "NAMESPACE NAME VERSION PHASE STAGE WEIGHT VERDICT AGE WAITING FOR"
    assert first.split()[:8] == ["ml", "scorer", "2.1.0", "Progressing", "canary-10", "1/2", "9.5/10", "Breach"]
    assert "stage canary-10 holds until" in first
    assert second.split()[:4] == ["ml", "scorer", "2.0.0", "Reverted"]
    assert second.split()[4] == "3d"
