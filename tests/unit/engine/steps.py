"""What one look of the operator may make of a status: invariants 4, 5 and 9, and what alerts and people ask for."""

from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.action import ActionKind
from modelrollout.api.attempt import Consent
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ColourStatus, ModelRolloutStatus, Phase, StageStatus
from modelrollout.engine.capacity import is_reachable
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import usable_room
from modelrollout.engine.snapshot import Alert
from modelrollout.engine.stages import Stage, expand, next_stage
from modelrollout.engine.windows import opens_at

_BY_PEOPLE = (Reason.ABORT_REQUESTED, Reason.REVERT_REQUESTED, Reason.KILLED)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The status before and after one look, and what was seen in it, which may have been old."""

    before: ModelRolloutStatus
    after: ModelRolloutStatus
    spec: ModelRolloutSpec
    now: datetime
    verdict: Verdict
    looking: bool
    alerts: tuple[Alert, ...]
    guarded: bool
    stable_answers: bool
    first_requests: datetime | None
    """When the newest attempt entered its first stage, if it did."""
    wanted: str | None
    """Fingerprint of what is wanted now; None when what was seen was old."""
    carried_out: bool
    """Whether nothing kept the decision from being carried out in full."""

    def check(self) -> None:
        """Hold everything against it."""
        self._check_stage_order()
        self._check_gates()
        self._check_window()
        self._check_silence()
        self._check_alerts()
        self._check_reasons()
        self._check_word_of_people()

    @property
    def _promoted(self) -> bool:
        """Whether the candidate of before is stable now, other than for want of anybody else who answers."""
        was_on_trial = self.before.candidate is not None and self.before.stable is not None
        serves = self.after.stable is not None and self.after.stable.attempt == self.before.attempt
        told = [
            entry.reason for one in self.after.records for entry in one.timeline if one.attempt == self.before.attempt
        ]
        return was_on_trial and serves and Reason.STABLE_UNAVAILABLE not in told

    def _place(self, at: StageStatus | None) -> int | None:
        """Where a stage is in the spec, if it is still there."""
        if at is None:
            return None
        stages = enumerate(expand(self.spec))
        known_as = (at.name, at.weight, tuple(at.match))
        return next((place for place, one in stages if (one.name, one.weight, one.match) == known_as), None)

    def _check_stage_order(self) -> None:
        """Invariant 5: within an attempt no stage is entered twice, and none left out that holds and can be reached."""
        before, after, stages = self.before, self.after, expand(self.spec)
        left, entered = self._place(before.stage), self._place(after.stage)
        if left is None or entered is None or before.attempt != after.attempt:
            return
        assert entered >= left
        if after.promoting:
            return
        passed = [stage.weight for stage in stages[left + 1 : entered] if stage.hold]
        rooms = [usable_room(self.spec, status) for status in (before, after)]
        assert not any(all(is_reachable(self.spec, weight, room) for room in rooms) for weight in passed)

    def _check_gates(self) -> None:
        """Nobody gets further while those have not agreed who have to, for every stage on the way there."""
        before, after, stages = self.before, self.after, expand(self.spec)
        left, entered = self._place(before.stage) or 0, self._place(after.stage)
        if self._promoted:
            entered = len(stages)
        elif entered is None or before.attempt != after.attempt:
            return
        consents = [*before.consents, *after.consents]
        for stage in stages[left:entered]:
            assert _is_agreed(stage, consents), f"stage {stage.name} was passed over without a yes"

    def _check_window(self) -> None:
        """No stage begins outside its window, unless somebody asks to promote."""
        place = self._place(self.after.stage)
        if place is None or self.after.promoting or self.after.stage == self.before.stage:
            return
        assert self.after.stage
        if self.after.stage.entered_at == self.now:
            assert opens_at(expand(self.spec)[place].window, self.now) == self.now

    def _check_silence(self) -> None:
        """Invariant 4: no evidence, no move, unless a deadline policy says so, or the stage requires none."""
        silent = self.spec.slos and (self.verdict is Verdict.INCONCLUSIVE or not self.looking)
        before, after, stage = self.before, self.after, self.before.stage
        if not silent or stage is None or not stage.has_requests:
            return
        declared = next((one for one in expand(self.spec) if one.name == stage.name), None)
        may_pass = declared is not None and (
            declared.required_slos == () or (declared.deadline is not None and declared.on_deadline == "Advance")
        )
        further = after.stage is not None and after.attempt == before.attempt and self._is_later(after, stage)
        promoted = after.stable is not None and after.stable.attempt == before.attempt
        stood_in = before.stable and not self.stable_answers
        onwards = (ActionKind.ADVANCE, ActionKind.PROMOTE)
        asked = any(one.action in onwards and one.at >= stage.entered_at for one in after.actions) or before.promoting
        assert not (further or promoted) or may_pass or stood_in or asked
        if after.last_revert and after.last_revert != before.last_revert:
            assert after.last_revert.reason != Reason.SLO_BREACHED

    def _is_later(self, after: ModelRolloutStatus, left: StageStatus) -> bool:
        """An edit may have moved the stage, or have taken it out: then the first one is entered again."""
        assert after.stage
        first = next_stage(self.spec, -1, usable_room(self.spec, after))
        if self._place(left) is None and after.stage.index == first:
            return False
        return after.stage.name != left.name and after.stage.index > left.index

    def _check_alerts(self) -> None:
        """An alert that the spec names and that speaks of the candidate takes it back at once, and no other does."""
        after, stage = self.after, self.after.stage
        if after.candidate and self.carried_out and self._is_blamed(after.candidate):
            assert not (stage and stage.has_requests), "an alert fires, and the candidate keeps its requests"
            assert not after.way_back or not self.stable_answers, "an alert fires, and the candidate goes back slowly"
        told, candidate = after.last_revert, self.before.candidate or after.candidate
        if told and told != self.before.last_revert and told.reason == Reason.ALERT_FIRING:
            assert candidate
            assert self._is_blamed(candidate), "taken back for an alert that is not about it"
            assert next(one for one in expand(self.spec) if one.name == told.stage).has_requests

    def _is_blamed(self, candidate: ColourStatus) -> bool:
        names = [one.alertname for one in self.spec.alerts.revert_on] if self.spec.alerts else []
        for alert in self.alerts:
            is_old = not alert.attempt and alert.starts_at < (self.first_requests or candidate.since)
            is_its_own = alert.attempt in ("", str(candidate.attempt)) and alert.colour in ("", candidate.colour)
            if alert.name in names and alert.ends_at > self.now and is_its_own and not is_old:
                return True
        return False

    def _check_reasons(self) -> None:
        """Invariant 9: what was taken back says why."""
        if self.after.phase is Phase.REVERTING and self.before.phase is not Phase.REVERTING:
            assert self.after.last_revert
            assert self.after.last_revert.reason
            assert self.after.last_revert.message

    def _check_word_of_people(self) -> None:
        """Nobody is believed whom nobody looked at, and what a person took back only a person tries again."""
        if self.wanted is None:
            return
        said = [one for one in self.after.consents if one.role and one not in self.before.consents]
        assert self.guarded or not said
        failed = self.after.last_revert
        fresh = [one.action for one in self.after.actions if one not in self.before.actions]
        asked = ActionKind.RETRY in fresh or ActionKind.PROMOTE in fresh
        if self.after.attempt > self.before.attempt and failed and failed.reason in _BY_PEOPLE and not asked:
            assert failed.fingerprint != self.wanted, "tried again by itself"


def _is_agreed(stage: Stage, consents: list[Consent]) -> bool:
    said = [one for one in consents if one.stage == stage.name]
    roles, items = {one.role for one in said}, {one.item for one in said}
    return roles >= {one.role for one in stage.approvals} and items >= {*stage.checklist}
