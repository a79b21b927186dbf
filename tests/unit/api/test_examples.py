"""The examples mean what they say: no field is lost or changed by the models."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelrollout.api.rollout import ModelRollout
from modelrollout.api.template import PodTemplate

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def lost(written: Any, read: Any, path: str = "") -> list[str]:
    """Where what was written is not what was read."""
    match written, read:
        case dict(), dict():
            return [
                place
                for key, value in written.items()
                for place in (lost(value, read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"])
            ]
        case list(), list() if len(written) == len(read):
            pairs = enumerate(zip(written, read, strict=True))
            return [place for n, (one, other) in pairs for place in lost(one, other, f"{path}[{n}]")]
        case _:
            return [] if written == read else [path]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_models_keep_everything_in_an_example(path: Path) -> None:
    written = yaml.safe_load(path.read_text())
    rollout = ModelRollout.model_validate(written)
    assert lost(written, rollout.to_wire()) == []
    assert ModelRollout.model_validate(rollout.to_wire()) == rollout
    assert rollout.spec.workload_ref or PodTemplate.model_validate(rollout.spec.template)


def test_there_are_examples_of_each_way_to_go() -> None:
    specs = [yaml.safe_load(path.read_text())["spec"] for path in EXAMPLES]
    assert {strategy for spec in specs for strategy in spec.get("strategy", {})} == {
        "canary",
        "blueGreen",
        "ring",
        "stages",
    }
    assert any("traffic" not in spec for spec in specs)
    assert any("workloadRef" in spec for spec in specs)
    assert any("gatewayAPI" in spec.get("traffic", {}) for spec in specs)


def test_a_field_that_no_model_knows_is_noticed() -> None:
    written = yaml.safe_load(EXAMPLES[0].read_text())
    written["spec"]["slos"][0]["limmit"] = "1%"
    assert lost(written, ModelRollout.model_validate(written).to_wire()) == [".spec.slos[0].limmit"]
