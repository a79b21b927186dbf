"""`lint` says offline what the API server says when a ModelRollout is applied."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelrollout.cli.lint import judged, refusals
from modelrollout.cli.main import main
from modelrollout.cli.rules import EXTENSIONS
from support.bad_inputs import REFUSED, Bad
from support.rollouts import ABSENT, WHOLE, Complaint, Object, changed, valid

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def run(*args: str, **rollout: Any) -> Result:
    return CliRunner().invoke(main, ["lint", "-f", "-", *args], input=yaml.safe_dump(rollout), env={"COLUMNS": "160"})


def warned(changes: Object) -> list[str]:
    verdict = judged(changed(valid(), changes), "file")
    assert verdict.errors == []
    return [one.field for one in verdict.warnings]


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.what)
def test_refuses_what_the_api_server_refuses_in_the_same_words(bad: Bad) -> None:
    found = list(refusals(changed(valid(), bad.changes)))
    # the API server writes the key of a map now so, now so
    said = [
        Complaint(field, one.message) for one in found for field in {one.field, one.field.replace("[team]", ".team")}
    ]
    if bad.field == WHOLE:  # the API server gives up before it looks at fields
        assert any(bad.words in one.message for one in said), said
    else:
        assert any(bad.is_named_by(one) for one in said), said


def test_every_function_that_a_rule_calls_is_known_here() -> None:
    schema = files("modelrollout.cli").joinpath("modelrollout.schema.json").read_text()
    rules = re.findall(r'"rule":"((?:[^"\\\\]|\\\\.)*)"', schema)
    assert len(rules) > 100
    called = {name for rule in rules for name in re.findall(r"\b([A-Za-z_]+)\(", re.sub(r"r?'[^']*'", "", rule))}
    of_cel = {
        "all",
        "double",
        "duration",
        "endsWith",
        "exists",
        "exists_one",
        "has",
        "map",
        "matches",
        "size",
        "startsWith",
        "timestamp",
    }
    assert called <= {"type", *of_cel, *EXTENSIONS}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_takes_the_examples(path: Path) -> None:
    done = CliRunner().invoke(main, ["lint", "-f", str(path)])
    assert done.exit_code == 0, done.output


def test_has_nothing_to_say_of_what_is_right_and_wise() -> None:
    wise = {"spec.strategy.canary.steps.0.hold": "5m", "spec.strategy.canary.steps.0.deadline": ABSENT}
    verdict = judged(changed(valid(), wise), "file")
    assert (verdict.errors, verdict.warnings) == ([], [])
    done = run(**changed(valid(), wise))
    assert (done.exit_code, done.output) == (0, "scorer (<stdin>): good\n")


def test_names_every_fault_and_not_only_the_first() -> None:
    done = run(**changed(valid(), {"spec.replicas": 0, "spec.slos.0.limit": "1", "spec.strateggy": {}}))
    assert done.exit_code == 1
    for words in ("refused", "spec.replicas: Invalid value: 0", "spec.slos[0].limit: the limit", "spec.strateggy"):
        assert words in done.output


def test_a_nameless_one_is_refused() -> None:
    assert "metadata.name: Required value" in run(**changed(valid(), {"metadata.name": ABSENT})).output


def test_one_of_another_version_is_refused() -> None:
    assert "apiVersion: must be modelrollout.io/v1alpha1" in run(**changed(valid(), {"apiVersion": "v1"})).output


def test_a_query_that_does_not_parse_is_an_error_although_the_api_server_takes_it() -> None:
    done = run(**changed(valid(), {"spec.slos.2.query.value": "max(drift{"}))
    assert done.exit_code == 1
    assert "spec.slos[2].query.value: is no PromQL" in done.output


@pytest.mark.parametrize("query", ["rate(errors{ns='$namespace'}[$window])", "max(x_${candidate})"])
def test_variables_in_a_query_are_no_fault(query: str) -> None:
    assert judged(changed(valid(), {"spec.slos.2.query.value": query}), "file").errors == []


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"spec.slos": ABSENT}, ["spec.slos"]),
        ({"spec.slos": [], "spec.bake": {"duration": "1h"}}, ["spec.slos", "spec.bake"]),
        ({"spec.bake": {"duration": "1h", "slos": []}}, ["spec.bake.slos"]),
        ({"spec.strategy.canary.steps.0.hold": "5s"}, ["spec.strategy"]),
        ({"spec.rollback.keepWarm": "0s"}, ["spec.rollback.keepWarm"]),
        ({"spec.traffic": ABSENT}, ["spec.traffic.replicas"]),
        ({"spec.traffic": {"replicas": {"unreachable": "Refuse"}}}, ["spec.traffic.replicas"]),
        ({"spec.traffic": {"replicas": {}}, "spec.strategy": {"canary": {"steps": [{"weight": 100}]}}}, []),
    ],
)
def test_warns_of_what_is_legal_but_unwise(changes: Object, fields: list[str]) -> None:
    assert warned(changes) == fields


def test_warnings_do_not_fail() -> None:
    done = run(**changed(valid(), {"spec.slos": ABSENT}))
    assert done.exit_code == 0
    assert "legal, with warnings" in done.output


def test_programs_read_json() -> None:
    done = run("-o", "json", **changed(valid(), {"spec.replicas": 0}))
    (verdict,) = json.loads(done.output)
    assert (verdict["name"], verdict["errors"][0]["field"], verdict["warnings"]) == ("scorer", "spec.replicas", [])


def test_what_is_null_is_left_out_and_has_its_default() -> None:
    nulls = changed(valid(), {"spec.strategy.canary.steps.1.hold": None, "spec.rollback": None})
    assert judged(nulls, "file").errors == []


def test_reads_scalars_as_kubectl_does() -> None:
    text = yaml.safe_dump(changed(valid(), {"spec.model.metadata": {}})).replace(
        "metadata: {}", "metadata: {trained: 2024-01-15}"
    )
    window = "window: {from: 09:00, to: 16:00}"
    text = text.replace("hold: 1m", f"hold: 1m\n        {window}")
    done = CliRunner().invoke(main, ["lint", "-f", "-"], input=text)
    assert window in text
    assert done.exit_code == 0, done.output
    assert "must be of type string" in run(**changed(valid(), {"spec.model.version": 1e3})).output
