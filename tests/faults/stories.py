"""What happens to a model while faults do, and how it must end."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from faults.scene import ERRORS, Scene
from stack.served import steps_held
from support.watching import Object

WHOLE = 1_000_000
MILLIONTH = 1
"""What a colour keeps in the route while it may take everything back in one write."""


@dataclass(frozen=True, kw_only=True)
class End:
    """What must be so once a story is over, and have been so on the way."""

    phase: str
    """`gone` for a ModelRollout that is deleted."""
    stable: str
    previous: str = ""
    attempt: int
    last_revert: str = ""
    pods: Mapping[str, int]
    """By colour, as the Deployments are told to have them."""
    weights: Mapping[str, int]
    stages: tuple[str, ...] = ()
    """Through which the candidates went, in this order and each once."""
    steps_back: tuple[int, ...] = ()
    """Weights of the steps of a gradual way back."""
    reports: tuple[str, ...]
    """Attempt, outcome and timeline of each RolloutReport, with stages left and why; and the actions asked for."""
    unreported: tuple[int, ...] = ()
    """Attempts that are over, and of which the status does not say yet that they have their reports."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What became of each RolloutAction."""
    conditions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Story:
    """Something that people do with a model, and that happens to it."""

    name: str
    tell: Callable[[Scene], None]
    end: End
    further_events: tuple[str, ...] = ()
    """What is told beside the entries of the reports."""
    begins_serving: bool = True
    """Whether version 1.0.0 serves before the story begins."""
    slos: tuple[dict[str, Any], ...] = ()

    @property
    def events(self) -> Counter[str]:
        """How often each reason is told of: once for each entry of a report."""
        timelines = (report.partition(": ")[2].partition("; ")[0] for report in self.end.reports)
        told = (entry.partition(" ")[0] for timeline in timelines for entry in timeline.split(", "))
        return Counter(told) + Counter(self.further_events)


QUICK = steps_held((20, "1s"), (50, "1s"), (100, "1s"))
_AT_ONCE = steps_held((100, "0s"))
SLO = {"name": "errors", "query": {"value": f'{ERRORS}{{namespace="$namespace"}}'}, "limit": "0.5"}
_CALM = {"Ready": "True", "Stalled": "False", "Progressing": "False"}
_STALLED = {"Ready": "False", "Stalled": "True", "Progressing": "False"}


def _serve_first(scene: Scene) -> None:
    scene.rollout.apply("1.0.0", strategy=QUICK)


def _roll_out(scene: Scene) -> None:
    scene.rollout.apply("2.0.0", strategy=QUICK)


def begin_stage(scene: Scene, *, weight: int = 20, hold: str = "1h") -> None:
    """Version 2.0.0 has its first requests."""
    scene.rollout.apply("2.0.0", strategy=steps_held((weight, hold), (100, "1s")))
    scene.wait_for(
        lambda status: status.get("stage", {}).get("name") == f"canary-{weight}" and "reachedAt" in status["stage"],
        "the first stage",
    )


def _breach(scene: Scene) -> None:
    begin_stage(scene)
    scene.measure(ERRORS, 1)


def _abort(scene: Scene) -> None:
    begin_stage(scene)
    scene.rollout.apply("1.0.0")


def _supersede(scene: Scene) -> None:
    begin_stage(scene)
    scene.rollout.apply("3.0.0", strategy=QUICK)


def _delete(scene: Scene) -> None:
    begin_stage(scene)
    scene.delete()


def _promote(scene: Scene) -> None:
    begin_stage(scene)
    scene.ask("Promote")


def _go_back_gradually(scene: Scene, *, hold: str = "1s") -> None:
    """Somebody aborts at 60 per cent, and has the requests go back by steps."""
    scene.rollout.apply("1.0.0", rollback={"hold": hold})
    begin_stage(scene, weight=60)
    scene.ask("Abort", mode="Gradual")


def _redeploy(scene: Scene) -> None:
    for attempt, version in ((2, "2.0.0"), (3, "3.0.0")):
        scene.rollout.apply(version, strategy=_AT_ONCE)
        scene.wait_for(partial(_serves, attempt), f"version {version} to serve")
    scene.ask("Revert", to="1.0.0")


def _serves(attempt: int, status: Object) -> bool:
    """Once its report is known to be written, an action that is asked for later has no place in it."""
    is_stable = (status["phase"], status.get("stable", {}).get("attempt")) == ("Idle", attempt)
    return is_stable and not any(is_unreported(one) for one in status["records"])


def is_unreported(record: Object) -> bool:
    """Whether an attempt is over, and the status does not say yet that it has its report."""
    return "ended" in record and record["reported"] != record["omitted"] + len(record["timeline"])


_BROUGHT_FIRST = "#1 Promoted: AttemptStarted, Promoted"
_ON_TRIAL = "AttemptStarted, StageEntered"
_TAKEN_BACK = "Reverting left canary-20, Reverted"
_SERVES = "Promoted left canary-100"
_THROUGH_ALL = f"{_ON_TRIAL}, StageEntered left canary-20, StageEntered left canary-50, {_SERVES}"

FIRST = Story(
    name="first",
    begins_serving=False,
    tell=_serve_first,
    end=End(
        phase="Idle",
        stable="blue 1.0.0 #1",
        attempt=1,
        pods={"blue": 2},
        weights={"blue": WHOLE, "green": 0},
        reports=(_BROUGHT_FIRST,),
        conditions=_CALM,
    ),
)
QUIET = replace(FIRST, name="quiet", begins_serving=True, tell=lambda _: None)
PROMOTED = Story(
    name="promoted",
    tell=_roll_out,
    end=End(
        phase="Idle",
        stable="green 2.0.0 #2",
        previous="blue 1.0.0 #1",
        attempt=2,
        pods={"blue": 2, "green": 2},
        weights={"blue": MILLIONTH, "green": WHOLE - MILLIONTH},
        stages=("#2 canary-20", "#2 canary-50", "#2 canary-100"),
        reports=(_BROUGHT_FIRST, f"#2 Promoted: {_THROUGH_ALL}"),
        conditions=_CALM,
    ),
)
JUDGED = replace(
    PROMOTED,
    name="judged",
    tell=partial(begin_stage, hold="8s"),
    slos=(SLO,),
    end=replace(
        PROMOTED.end,
        stages=("#2 canary-20", "#2 canary-100"),
        reports=(
            _BROUGHT_FIRST,
            f"#2 Promoted: {_ON_TRIAL}, StageEntered left canary-20 (errors Pass), {_SERVES} (errors Pass)",
        ),
    ),
)
REVERTED = Story(
    name="reverted",
    tell=_breach,
    slos=(SLO,),
    end=End(
        phase="Reverted",
        stable="blue 1.0.0 #1",
        attempt=2,
        last_revert="2.0.0 #2 SLOBreached at canary-20",
        pods={"blue": 2, "green": 0},
        weights={"blue": WHOLE, "green": 0},
        stages=("#2 canary-20",),
        reports=(
            _BROUGHT_FIRST,
            f"#2 Reverted: {_ON_TRIAL}, AboveLimit, Reverting left canary-20 (errors Breach), Reverted",
        ),
        conditions=_STALLED,
    ),
)
ABORTED = Story(
    name="aborted",
    tell=_abort,
    end=End(
        phase="Idle",
        stable="blue 1.0.0 #1",
        attempt=2,
        last_revert="2.0.0 #2 Aborted at canary-20",
        pods={"blue": 2, "green": 0},
        weights={"blue": WHOLE, "green": 0},
        stages=("#2 canary-20",),
        reports=(_BROUGHT_FIRST, f"#2 Aborted: {_ON_TRIAL}, {_TAKEN_BACK}"),
        conditions=_CALM,
    ),
)
GRADUAL = Story(
    name="gradual",
    tell=_go_back_gradually,
    end=End(
        phase="Reverted",
        stable="blue 1.0.0 #1",
        attempt=2,
        last_revert="2.0.0 #2 AbortRequested at canary-60",
        pods={"blue": 2, "green": 0},
        weights={"blue": WHOLE, "green": 0},
        stages=("#2 canary-60",),
        steps_back=(50, 25),
        reports=(
            _BROUGHT_FIRST,
            f"#2 Aborted: {_ON_TRIAL}, ActionApplied, Reverting left canary-60, Reverted; Abort Applied",
        ),
        answers={"abort": "Applied"},
        conditions=_STALLED,
    ),
)
GOING_BACK = replace(GRADUAL, name="going back", tell=partial(_go_back_gradually, hold="20s"))
SUPERSEDED = Story(
    name="superseded",
    tell=_supersede,
    end=End(
        phase="Idle",
        stable="green 3.0.0 #3",
        previous="blue 1.0.0 #1",
        attempt=3,
        pods={"blue": 2, "green": 2},
        weights={"blue": MILLIONTH, "green": WHOLE - MILLIONTH},
        stages=("#2 canary-20", "#3 canary-20", "#3 canary-50", "#3 canary-100"),
        reports=(
            _BROUGHT_FIRST,
            f"#2 Superseded: {_ON_TRIAL}, {_TAKEN_BACK}",
            f"#3 Promoted: {_THROUGH_ALL}",
        ),
        conditions=_CALM,
    ),
)
DELETED = Story(
    name="deleted",
    tell=_delete,
    end=End(
        phase="gone",
        stable="",
        attempt=0,
        pods={"blue": 2},
        weights={"blue": WHOLE, "green": 0},
        stages=("#2 canary-20",),
        reports=(_BROUGHT_FIRST, f"#2 Deleted: {_ON_TRIAL}, {_TAKEN_BACK}"),
    ),
)
ASKED = Story(
    name="asked",
    tell=_promote,
    end=End(
        phase="Idle",
        stable="green 2.0.0 #2",
        previous="blue 1.0.0 #1",
        attempt=2,
        pods={"blue": 2, "green": 2},
        weights={"blue": MILLIONTH, "green": WHOLE - MILLIONTH},
        stages=("#2 canary-20", "#2 canary-100"),
        reports=(
            _BROUGHT_FIRST,
            f"#2 Promoted: {_ON_TRIAL}, ActionApplied, StageEntered left canary-20, {_SERVES}; Promote Applied",
        ),
        answers={"promote": "Applied"},
        conditions=_CALM,
    ),
)
REDEPLOYED = Story(
    name="redeployed",
    tell=_redeploy,
    end=End(
        phase="Idle",
        stable="green 1.0.0 #4",
        previous="blue 3.0.0 #3",
        attempt=4,
        pods={"blue": 2, "green": 2},
        weights={"blue": MILLIONTH, "green": WHOLE - MILLIONTH},
        stages=("#2 canary-100", "#3 canary-100", "#4 canary-100"),
        reports=(
            _BROUGHT_FIRST,
            *(f"#{attempt} Promoted: {_ON_TRIAL}, {_SERVES}" for attempt in (2, 3, 4)),
        ),
        answers={"revert": "Applied"},
        conditions=_CALM,
    ),
    further_events=("ActionApplied",),
)

ON_THE_WAY = (PROMOTED, REVERTED, ABORTED, GRADUAL, SUPERSEDED, DELETED, ASKED)
"""Those in which a version is on trial while another one serves."""

STORIES = (FIRST, *ON_THE_WAY, REDEPLOYED)


def named(story: Story) -> str:
    """Its name, for the id of a test."""
    return story.name
