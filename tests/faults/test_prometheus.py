"""Prometheus is down, hangs, has nothing, or says NaN: nothing moves until it knows something again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from faults.evidence import weights_of
from faults.scene import ERRORS, EXPORTED, NAME, Ground, Scene, series_of
from faults.stories import JUDGED, WHOLE
from faults.telling import look_back, set_up, tell
from support.recorder import ROUTES

Fault = Callable[[Ground, Scene], AbstractContextManager[str]]
"""Something that keeps Prometheus from knowing, and the reason that an SLO gives for it."""


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


@pytest.mark.parametrize("fault", [empty, not_a_number], ids=lambda fault: fault.__name__)
def test_without_a_number_nothing_moves_until_there_is_one(ground: Ground, fault: Fault) -> None:
    assert not _said_through(ground, fault)


@pytest.mark.parametrize("fault", [down, hanging], ids=lambda fault: fault.__name__)
def test_nothing_moves_until_it_answers_again(whole_ground: Ground, fault: Fault) -> None:
    assert not _said_through(whole_ground, fault)


def _said_through(ground: Ground, fault: Fault) -> list[str]:
    with set_up(ground, JUDGED) as scene:
        tell(scene, JUDGED)
        with fault(ground, scene) as reason:
            scene.wait_for(lambda status: _says(status) == ("Undecided", reason), f"an SLO that says {reason}")
            assert weights_of(scene.trail.objects(ROUTES)[NAME]) == {"blue": WHOLE * 4 // 5, "green": WHOLE // 5}
        told = look_back(scene, JUDGED)
    ground.tally.add(f"Prometheus {fault.__name__}")
    return told.said


def _says(status: dict[str, list[dict[str, str]]]) -> tuple[str, str]:
    progressing = next(one["reason"] for one in status["conditions"] if one["type"] == "Progressing")
    return progressing, status["slos"][0]["reason"] if status.get("slos") else ""
