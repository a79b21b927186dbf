"""The libraries by which GitOps tools judge objects, as programs."""

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from testbed import gobuild
from unit.gitops.states import Object

Statuses = Callable[[Sequence[Object]], list[str]]

GUIDE = Path(__file__).parents[3] / "docs" / "gitops.md"


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Where they are; the first time they have to be built, which takes longer than a test may."""
    return gobuild.programs(["kstatus", "flux-health"])


@pytest.fixture
def kstatus(programs: dict[str, Path]) -> Statuses:
    """What the kstatus library says of each object."""
    return lambda rollouts: _lines(programs["kstatus"], "\n".join(map(json.dumps, rollouts)))


@pytest.fixture
def flux(programs: dict[str, Path]) -> Statuses:
    """What Flux says of each object, by the expressions in our guide."""
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)]
    (expressions,) = next(one["spec"]["healthCheckExprs"] for one in examples if "healthCheckExprs" in one["spec"])

    def statuses(rollouts: Sequence[Object]) -> list[str]:
        return _lines(programs["flux-health"], json.dumps({"expressions": expressions, "objects": list(rollouts)}))

    return statuses


def _lines(program: Path, given: str) -> list[str]:
    printed = subprocess.run([program], input=given, capture_output=True, text=True, check=True).stdout
    return [line.partition("\t")[0] for line in printed.splitlines()]
