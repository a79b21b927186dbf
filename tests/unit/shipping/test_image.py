"""The image: what goes into it, and under whom it runs. Building and running it is a matter of the end-to-end tests."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from testbed.contexts import is_ignored, parse_rules

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()


def instructions(name: str) -> list[str]:
    """Arguments of an instruction, wherever it occurs, with continued lines joined."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def copied_from_here() -> list[str]:
    """Paths of the repository that the image is made of."""
    copies = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return [source for *sources, _ in copies for source in sources]


def pinned() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE)}


def test_whatever_is_copied_is_there_and_not_ignored() -> None:
    rules = parse_rules((ROOT / ".dockerignore").read_text())
    assert copied_from_here()
    for source in copied_from_here():
        assert (ROOT / source).exists(), source
        assert not is_ignored(source, rules), source


@pytest.mark.parametrize("path", ["README.md", ".git/config", "tests/x.py", "operator/modelrollout/__pycache__/x.pyc"])
def test_everything_else_is_ignored(path: str) -> None:
    assert is_ignored(path, parse_rules((ROOT / ".dockerignore").read_text()))


def test_it_runs_under_a_number_that_is_not_root() -> None:
    (user,) = instructions("USER")
    number, _, group = user.partition(":")
    assert int(number) > 0
    assert int(group) > 0


def test_the_base_is_a_parameter_without_a_registry() -> None:
    (base,) = instructions("ARG")
    assert base.startswith("BASE=")
    assert "/" not in base
    assert all(image.startswith("${BASE}") for image in instructions("FROM"))


def test_it_has_the_scripts_that_the_project_declares_and_starts_the_operator() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for script, target in project["scripts"].items():
        module, _, function = target.partition(":")
        assert f"from {module} import {function}\\n{function}()\\n' \\\n        > bin/{script} " in DOCKERFILE
    assert instructions("ENTRYPOINT") == ['["modelrollout-operator"]']


def test_what_is_installed_is_pinned_by_hash_and_fits_the_project() -> None:
    assert "--require-hashes" in DOCKERFILE
    blocks = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    wanted = [
        Requirement(one) for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    unfit = [one for one in wanted if not one.specifier.contains(pinned().get(canonicalize_name(one.name), "0"))]
    assert unfit == [], "run `make lock`"
