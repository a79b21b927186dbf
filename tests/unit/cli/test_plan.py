"""What `kubectl modelrollout plan` shows before anything moves."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelrollout.cli.main import main
from modelrollout.cli.plan import ends_at, plan_of
from modelrollout.engine.windows import opens_at
from support.rollouts import Object, changed, valid
from unit.engine.simulation import make_spec

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
START = datetime(2026, 1, 5, 7, tzinfo=UTC)  # a Monday


def run(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["plan", *args], input=stdin, env={"COLUMNS": "160", "TZ": "UTC"})


def written(**spec: Any) -> str:
    rollout = {"apiVersion": "modelrollout.io/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "scorer"}}
    return yaml.safe_dump(rollout | {"spec": make_spec("2.0.0", service={"targetPort": 8080}, **spec).to_wire()})


def test_stages_follow_each_other_as_their_holds_say() -> None:
    planned = plan_of(make_spec(), START)
    assert [one.begins for one in planned] == [START + timedelta(minutes=minutes) for minutes in (0, 1, 2)]
    assert ends_at(planned) == START + timedelta(minutes=3)


def test_a_window_moves_all_that_follows() -> None:
    steps = [{"weight": 50, "hold": "2h"}, {"weight": 100, "hold": "2h", "window": {"from": "10:00", "to": "11:00"}}]
    first, second = plan_of(make_spec(strategy={"canary": {"steps": steps}}), START)
    assert (first.begins, second.begins) == (START, START + timedelta(hours=3))
    assert second.begins
    assert opens_at(second.stage.window, second.begins) == second.begins


def test_pods_that_split_the_requests_reach_what_they_can_and_leave_the_rest_out() -> None:
    planned = plan_of(make_spec(replicas=4, traffic={"replicas": {}}, strategy={"canary": {}}), START)
    assert [(one.stage.weight, one.weight, one.pods, bool(one.begins)) for one in planned] == [
        (1, 0.0, 0, False),
        (5, 0.0, 0, False),
        (10, 0.0, 0, False),
        (25, 20.0, 1, True),
        (50, 50.0, 4, True),
        (100, 100.0, 4, True),
    ]
    assert planned[0].note == "left out: below what 4 pods can reach"


def test_of_a_stage_that_is_left_out_only_what_people_have_to_say_is_noted() -> None:
    require = {"slos": ["errors"], "approvals": [{"role": "security"}], "checklist": ["runbook"]}
    step = {"weight": 5, "deadline": "6h", "window": {"from": "10:00", "to": "11:00"}, "require": require}
    strategy = {"canary": {"steps": [step, {"weight": 100}]}}
    left_out, _ = plan_of(make_spec(replicas=4, traffic={"replicas": {}}, strategy=strategy), START)
    assert left_out.note == ("left out: below what 4 pods can reach; approval as security; checklist: runbook")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_planned(path: Path) -> None:
    done = run("--filename", str(path), "--start", "2026-01-05")
    assert done.exit_code == 0, done.output
    assert "promoted " in done.output


def test_the_table_says_when_each_stage_may_begin_and_what_it_needs() -> None:
    require = {
        "slos": ["errors"],
        "approvals": [{"role": "security"}, {"role": "executive", "count": 2, "when": "Major"}],
        "checklist": ["runbook-reviewed"],
    }
    step = {"weight": 100, "deadline": "6h", "onDeadline": "Revert", "require": require}
    done = run("-f", "-", "--start", "2026-01-05T09:00", stdin=written(strategy={"canary": {"steps": [step]}}))
    assert done.exit_code == 0, done.output
    assert "scorer: version 2.0.0, 4 pods" in done.output
    assert "canary-100" in done.output
    said = " ".join(done.output.split())
    assert "undecided after 6h: Revert; requires errors; approval as security;" in said
    assert "approval of a major version as executive by 2; checklist: runbook-reviewed" in said
    assert "09:00" in done.output


def test_when_a_stage_may_begin_is_shown() -> None:
    window = {"days": ["Mon", "Tue"], "from": "10:00", "to": "11:00", "timeZone": "Europe/Berlin"}
    text = written(strategy={"canary": {"steps": [{"weight": 50}, {"weight": 100, "window": window}]}})
    assert "begins Mon/Tue 10:00-11:00 Europe/Berlin" in run("-f", "-", stdin=text).output
    (plan,) = json.loads(run("-f", "-", "-o", "json", stdin=text).output)
    assert [stage["window"] for stage in plan["stages"]] == [None, window]


def test_whom_a_ring_lets_in_is_shown() -> None:
    internal = [{"header": "x-ring", "value": "internal"}]
    rings = [{"name": "internal", "match": internal}, {"name": "production", "weight": 100}]
    text = written(strategy={"ring": {"rings": rings}})
    assert "lets in x-ring: internal" in run("-f", "-", stdin=text).output
    (plan,) = json.loads(run("-f", "-", "-o", "json", stdin=text).output)
    assert [(stage["weight"], stage["match"]) for stage in plan["stages"]] == [(0, internal), (100, internal)]


def test_programs_read_json() -> None:
    done = run("-f", "-", "-o", "json", "--start", "2026-01-05T09:00", stdin=written(bake={"duration": "24h"}))
    (plan,) = json.loads(done.output)
    assert [stage["name"] for stage in plan["stages"]] == ["canary-10", "canary-50", "canary-100", "bake"]
    begins = datetime.fromisoformat(plan["stages"][0]["beginsAt"])
    assert datetime.fromisoformat(plan["promotedAt"]) - begins == timedelta(hours=24, minutes=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Service\n", "there is no ModelRollout in"),
        ("a: [", "is no YAML"),
        ("kind: ModelRollout\nspec: {model: {version: 2.1}}\n", "spec.model.version: Invalid value"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    done = run("-f", "-", stdin=text)
    assert done.exit_code == 1
    assert words in done.output


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({"shadow": {}}, "spec.strategy.shadow: shadow comes with a later release"),
        ({"canary": {}, "blueGreen": {}}, "name one strategy"),
        ({"canary": {"steps": [{"weight": 50}, {"weight": 20}, {"weight": 100}]}}, "weights must ascend"),
    ],
    ids=["not there yet", "two at once", "weights out of order"],
)
def test_what_the_api_server_would_refuse_has_no_plan(strategy: Object, words: str) -> None:
    done = run("-f", "-", stdin=yaml.safe_dump(changed(valid(), {"spec.strategy": strategy})))
    assert (done.exit_code, words in done.output, "STAGE" in done.output) == (1, True, False), done.output
