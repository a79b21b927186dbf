"""RolloutReports in the cluster, as a rollout goes on and whatever becomes of the writes."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from modelrollout.api.attempt import AttemptRecord, TimelineEntry
from modelrollout.api.course import Course
from modelrollout.api.owner import Rollout
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.controller.client import NotFoundError
from modelrollout.controller.kinds import MODEL_ROLLOUTS, ROLLOUT_REPORTS, Key
from modelrollout.controller.reporting import Reports
from modelrollout.engine.effects import WriteReport
from unit.controller.fake_cluster import KEY, START, Operator, rollout
from unit.controller.scene import SPEC, Scene

SECOND = "apply RolloutReport scorer-2"


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.operator.start()
    return scene


def report(scene: Scene, attempt: int) -> dict[str, Any]:
    stored = scene.api.objects[ROLLOUT_REPORTS.kind, Key(KEY.namespace, f"{KEY.name}-{attempt}")]
    status: dict[str, Any] = stored["status"]
    return status


def names(scene: Scene) -> list[str]:
    return sorted((key.name for kind, key in scene.api.objects if kind == ROLLOUT_REPORTS.kind), key=len)


async def take_back(scene: Scene) -> None:
    """Two breaches in a row."""
    await scene.reach_first_stage()
    for _ in range(2):
        scene.read(Verdict.BREACH, seconds=1)
        await scene.operator.look()
    await scene.operator.run_until(lambda: scene.status()["phase"] == "Reverted")


async def test_a_report_tells_why_a_version_was_taken_back(scene: Scene) -> None:
    await take_back(scene)
    told = report(scene, 2)
    assert (told["outcome"], told["reason"]) == ("Reverted", "SLOBreached")
    assert [entry["reason"] for entry in told["timeline"]][-2:] == ["Reverting", "Reverted"]
    (said,) = told["timeline"][-2]["evidence"]
    assert (said["name"], said["verdict"], said["message"], said["asked"]) == ("errors", "Breach", "0.2 > 0.1", "0")


async def test_a_report_is_written_once_for_each_write_of_the_status_that_has_news(scene: Scene) -> None:
    await take_back(scene)
    writes = scene.api.writes.count(SECOND)
    assert writes <= len(report(scene, 2)["timeline"])
    scene.operator = Operator(scene.api, scene.clock)
    await scene.operator.start()
    await scene.operator.run_until(lambda: True)
    assert scene.api.writes.count(SECOND) == writes, "the status says that the report is whole"


async def test_reports_that_are_refused_delay_nothing_and_are_made_up_for(scene: Scene) -> None:
    await scene.serve("1.0.0")
    refused = scene.refuse(SECOND)
    await take_back(scene)
    assert scene.weights() == [100, 0]
    assert "forbidden" in await scene.note("WriteRefused")
    assert names(scene) == ["scorer-1"]
    pauses = [later - earlier for earlier, later in pairwise(refused)]
    assert all(pause >= 1 for pause in pauses), "not again and again"
    scene.api.trouble = lambda _number, _when: None
    await scene.operator.run_until(lambda: names(scene) == ["scorer-1", "scorer-2"])
    reasons = [entry["reason"] for entry in report(scene, 2)["timeline"]]
    assert reasons == ["AttemptStarted", "StageEntered", "AboveLimit", "Reverting", "Reverted"]


async def test_a_cluster_without_the_kind_gets_its_rollouts_all_the_same(scene: Scene) -> None:
    def strike(_number: int, when: str) -> None:
        if when == "before" and "RolloutReport" in scene.api.writes[-1]:
            raise NotFoundError("the server could not find the requested resource")

    scene.api.trouble = strike
    await take_back(scene)
    assert names(scene) == []


async def test_a_report_that_is_refused_does_not_hold_a_deletion_up(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.refuse(SECOND)
    scene.api.put(rollout("2.0.0", **SPEC))
    await scene.operator.look()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects, looks=30)
    assert names(scene) == ["scorer-1"]


async def test_what_the_status_has_forgotten_stays_in_the_report_when_there_is_more_to_tell(scene: Scene) -> None:
    spec = ModelRolloutSpec.model_validate(rollout("2.0.0", **SPEC)["spec"])
    reports, subject = Reports(scene.api), Rollout(name=KEY.name, namespace=KEY.namespace, uid="uid-1", spec=spec)
    course = [Course(name="errors", asked="0", limit=0.1, points=["30 0.05", "60 0.2"])]
    entry = TimelineEntry(at=START, reason="Promoted", message="…", moved=True)
    promoted = AttemptRecord(attempt=2, version="2.0.0", started=START, ended=START, timeline=[entry], course=course)
    undone = promoted.model_copy(update={"course": [], "timeline": [entry, entry]})
    for record in (promoted, undone):
        await reports.write(subject, WriteReport(record=record))
    told = report(scene, 2)
    assert len(told["timeline"]) == 2
    assert told["course"][0]["points"] == ["30 0.05", "60 0.2"]


async def test_the_oldest_reports_go_beyond_the_limit_and_what_is_in_use(scene: Scene) -> None:
    for number in range(7):
        scene.api.put(rollout(f"1.0.{number}", revisionHistoryLimit=2))
        await scene.operator.run_until(partial(scene.serves, f"1.0.{number}"))
    assert names(scene) == [f"scorer-{attempt}" for attempt in (4, 5, 6, 7)]


async def test_reports_go_with_the_rollout_under_delete_whatever_it_said_before(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.put(rollout("1.0.0", **SPEC, deletionPolicy="Delete"))
    scene.operator.hear()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    assert names(scene) == []
