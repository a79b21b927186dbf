"""What `kubectl modelrollout simulate` finds, and what it refuses by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelrollout.cli.main import main
from unit.engine.simulation import make_spec

EXAMPLES = Path(__file__).parents[3] / "examples"
ERRORS = {"name": "errors", "metric": "error-ratio", "baseline": {"maxIncrease": "25%"}}
LATENCY = {"name": "latency", "metric": "latency", "slowerThan": "100ms", "limit": "4%"}
DRIFT = {"name": "drift", "query": {"value": "max(drift)"}, "limit": "0.3"}
TOLD = {**ERRORS, "name": "told", "onBreach": "Notify"}


def simulated(*args: str, stdin: str) -> Result:
    command = ["simulate", "--filename", "-", "--runs", "40", *args]
    return CliRunner().invoke(main, command, input=stdin, env={"COLUMNS": "200"})


def written(*slos: dict[str, Any], **spec: Any) -> str:
    rollout = {"apiVersion": "modelrollout.io/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "scorer"}}
    spec = make_spec("2.0.0", service={"targetPort": 8080}, slos=list(slos), **spec).to_wire()
    return yaml.safe_dump(rollout | {"spec": spec})


def test_programs_read_json() -> None:
    done = simulated("-o", "json", "--times-worse", "10", "--rps", "500", stdin=written(ERRORS, LATENCY, DRIFT, TOLD))
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert (found["name"], found["runs"], found["seed"], found["requestsPerSecond"]) == ("scorer", 40, 1, 500)
    assert found["slos"] == [
        {"name": "errors", "rate": 0.01, "limitOfOthers": 0.02},
        {"name": "latency", "rate": 0.02, "limitOfOthers": 0.04},
    ]
    assert found["leftOut"] == ["drift", "told"]
    judges = ["ModelRollout", "Argo Rollouts", "Flagger", "Kayenta", "GrowthBook"]
    assert [one["judge"] for one in found["healthy"]] == judges
    ours = found["healthy"][0]
    assert (ours["takenBack"], ours["medianSeconds"]) == (0, None)
    assert ours["interval"] == pytest.approx([0, 1.96**2 / (40 + 1.96**2)], abs=1e-4)
    assert found["promotion"] == {
        "share": 1,
        "medianSeconds": 180,
        "p90Seconds": 180,
        "p95Seconds": 180,
        "holdsSeconds": 180,
    }
    assert [(one["slo"], one["timesWorse"]) for one in found["faults"]] == [("errors", 10), ("latency", 10)]
    for fault in found["faults"]:
        assert [one["judge"] for one in fault["judges"]] == judges
        assert fault["judges"][0]["takenBack"] == 1
        assert fault["judges"][0]["medianSeconds"] <= 30


def test_the_same_seed_finds_the_same() -> None:
    text = written(ERRORS)
    one, same, other = (simulated("-o", "json", "--seed", seed, stdin=text).stdout for seed in ("1", "1", "2"))
    assert one == same
    assert json.loads(one)[0]["faults"] != json.loads(other)[0]["faults"]


def test_the_table_says_what_was_assumed_and_found() -> None:
    done = simulated("--error-rate", "0.4%", "--rate", "latency=3%", stdin=written(ERRORS, LATENCY, DRIFT))
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "scorer: 40 rollouts of each kind, 50 requests a second, seed 1" in said
    assert "SLO errors counts 0.004 of stable's requests; others hold it against 0.008" in said
    assert "SLO latency counts 0.03 of stable's requests; others hold it against 0.04" in said
    assert "left out, as they are queries or decide nothing: drift" in said
    assert "TAKEN BACK MODELROLLOUT ARGO ROLLOUTS FLAGGER KAYENTA GROWTHBOOK" in said
    assert "5 times as bad in latency after " in said
    assert "100.0% of the good ones are promoted, half of them within 3m, 90 % within 3m; the holds are 3m" in said


def test_progress_is_for_terminals() -> None:
    assert simulated("-o", "json", stdin=written(ERRORS)).stderr == ""


@pytest.mark.parametrize(
    ("args", "text", "words"),
    [
        ((), written(DRIFT), "scorer cannot be simulated: drift: what a query yields is not known here"),
        ((), written(DRIFT, TOLD), "known here; told: it only tells, and decides nothing"),
        ((), written(), "scorer cannot be simulated: it has no SLO"),
        (("--rate", "drift=1%"), written(ERRORS, DRIFT), "--rate drift: scorer has no such SLO"),
        (("--rate", "1%"), written(ERRORS), "'1%' is not the name of an SLO and a share"),
        (("--error-rate", "100%"), written(ERRORS), "100% is no share from 0% to under 100%"),
        (("--error-rate", "one"), written(ERRORS), "'one' is neither a number"),
        ((), written({**LATENCY, "limit": "0%"}), "set --rate latency=SHARE"),
        (("--times-worse", "1"), written(ERRORS), "1.0 is not in the range x>1"),
        (
            (),
            written(ERRORS, server="mlserver", traffic={"replicas": {"unreachable": "Refuse"}}),
            "scorer cannot be simulated: 4 pods cannot reach stage canary-10",
        ),
    ],
)
def test_what_cannot_be_simulated_is_named(args: tuple[str, ...], text: str, words: str) -> None:
    done = simulated(*args, stdin=text)
    assert done.exit_code in (1, 2)
    assert words in " ".join(done.output.split())


@pytest.mark.parametrize("name", ["replicas.yaml", "blue-green.yaml"])
def test_examples_can_be_simulated(name: str) -> None:
    done = simulated("--times-worse", "10", stdin=(EXAMPLES / name).read_text())
    assert done.exit_code == 0, done.output
