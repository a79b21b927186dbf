"""Prometheus is down, hangs, has nothing, or says NaN: nothing moves until it knows something again."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from faults.evidence import weights_of
from faults.scene import ERRORS, EXPORTED, NAME, Ground, Scene, series_of
from faults.stories import PROMOTED, SLO, WHOLE, Story, steps
from faults.telling import look_back, set_up, tell
from support.recorder import ROUTES


def _roll_out(scene: Scene) -> None:
    scene.rollout.apply("2.0.0", strategy=steps((20, "8s"), (100, "1s")))
    scene.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")


JUDGED = Story(
    name="judged",
    tell=_roll_out,
    slos=(SLO,),
    end=replace(PROMOTED.end, stages=("#2 canary-20", "#2 canary-100")),
    events=PROMOTED.events - Counter(StageEntered=1),
)


@contextmanager
def down(ground: Ground, _: Scene) -> Iterator[str]:
    ground.prometheus.kill()
    yield "PrometheusUnavailable"
    ground.prometheus.start()


@contextmanager
def hanging(ground: Ground, _: Scene) -> Iterator[str]:
    """It takes connections and never answers."""
    with ground.prometheus.stopped():
        yield "PrometheusUnavailable"


@contextmanager
def empty(ground: Ground, scene: Scene) -> Iterator[str]:
    ground.exporter.remove(EXPORTED, series_of(ERRORS, scene.rollout.namespace))
    yield "NoData"
    scene.measure(ERRORS, 0)


@contextmanager
def not_a_number(_: Ground, scene: Scene) -> Iterator[str]:
    scene.measure(ERRORS, float("nan"))
    yield "NotANumber"
    scene.measure(ERRORS, 0)


@pytest.mark.parametrize("fault", [down, hanging, empty, not_a_number], ids=lambda fault: fault.__name__)
def test_nothing_moves_until_it_knows_something_again(ground: Ground, fault: Callable[..., Iterator[str]]) -> None:
    with set_up(ground, JUDGED) as scene:
        tell(scene, JUDGED)
        with fault(ground, scene) as reason:
            scene.wait_for(lambda status: _says(status) == ("Undecided", reason), f"an SLO that says {reason}")
            assert weights_of(scene.trail.objects(ROUTES)[NAME]) == {"blue": WHOLE * 4 // 5, "green": WHOLE // 5}
        told = look_back(scene, JUDGED)
    assert not told.complaints
    assert not told.missing_events


def _says(status: dict[str, list[dict[str, str]]]) -> tuple[str, str]:
    progressing = next(one["reason"] for one in status["conditions"] if one["type"] == "Progressing")
    return progressing, status["slos"][0]["reason"] if status.get("slos") else ""
