"""What happens to a model while faults do, and how it must end."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import CustomObjectsApi

from faults.scene import ERRORS, Scene

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
    conditions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Story:
    """Something that people do with a model, and that happens to it."""

    name: str
    tell: Callable[[Scene], None]
    end: End
    events: Counter[str]
    begins_serving: bool = True
    """Whether version 1.0.0 serves before the story begins."""
    slos: tuple[dict[str, Any], ...] = ()


def steps(*steps: tuple[int, str]) -> dict[str, Any]:
    return {"canary": {"steps": [{"weight": weight, "hold": hold} for weight, hold in steps]}}


QUICK = steps((20, "1s"), (50, "1s"), (100, "1s"))
_LASTING = steps((20, "1h"), (100, "1s"))
SLO = {"name": "errors", "query": {"value": f'{ERRORS}{{namespace="$namespace"}}'}, "limit": "0.5"}
_CALM = {"Ready": "True", "Stalled": "False", "Progressing": "False"}


def _serve_first(scene: Scene) -> None:
    scene.rollout.apply("1.0.0", strategy=QUICK)


def _roll_out(scene: Scene) -> None:
    scene.rollout.apply("2.0.0", strategy=QUICK)


def begin_stage(scene: Scene) -> None:
    scene.rollout.apply("2.0.0", strategy=_LASTING)
    scene.wait_for(
        lambda status: status.get("stage", {}).get("name") == "canary-20" and "reachedAt" in status["stage"],
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
    rollout = scene.rollout
    CustomObjectsApi(scene.client).delete_namespaced_custom_object(
        "modelrollout.io", "v1alpha1", rollout.namespace, "modelrollouts", rollout.name
    )


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
        conditions=_CALM,
    ),
    events=Counter(["AttemptStarted", "Promoted"]),
)
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
        conditions=_CALM,
    ),
    events=Counter(["AttemptStarted", "Promoted"]) + Counter(StageEntered=3),
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
        conditions={"Ready": "False", "Stalled": "True", "Progressing": "False"},
    ),
    events=Counter(["AttemptStarted", "StageEntered", "AboveLimit", "Reverting", "Reverted"]),
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
        conditions=_CALM,
    ),
    events=Counter(["AttemptStarted", "StageEntered", "Reverting", "Reverted"]),
)
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
        conditions=_CALM,
    ),
    events=Counter(["Reverting", "Reverted", "Promoted"]) + Counter(AttemptStarted=2, StageEntered=4),
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
    ),
    events=Counter(["AttemptStarted", "StageEntered", "Reverting", "Reverted"]),
)

STORIES = (FIRST, PROMOTED, REVERTED, ABORTED, SUPERSEDED, DELETED)
