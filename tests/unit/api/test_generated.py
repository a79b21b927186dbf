"""Generated files are up to date, and the check says which are not."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from generate import __main__ as program

ROOT = Path(__file__).parents[3]


def test_files_in_the_repository_are_up_to_date() -> None:
    checked = CliRunner().invoke(program.main, ["--check"])
    assert checked.exit_code == 0, checked.output


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without any generated file."""
    monkeypatch.setattr(program, "_ROOT", tmp_path)
    return tmp_path


def test_writes_what_is_missing_and_then_nothing(elsewhere: Path) -> None:
    first = CliRunner().invoke(program.main, [])
    assert first.exit_code == 0
    assert all((elsewhere / path).is_file() for path in program.generated())
    assert CliRunner().invoke(program.main, []).output == ""


def test_check_names_drifted_files_and_leaves_them(elsewhere: Path) -> None:
    CliRunner().invoke(program.main, [])
    drifted = elsewhere / "docs" / "reference.md"
    drifted.write_text("by hand")
    checked = CliRunner().invoke(program.main, ["--check"])
    assert checked.exit_code == 1
    assert "docs/reference.md" in checked.output
    assert "crds/" not in checked.output
    assert drifted.read_text() == "by hand"


def test_the_chart_carries_the_same_definitions() -> None:
    ours, charts = (
        {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
        for folder in ("crds", "charts/modelrollout/files/crds")
    )
    assert ours
    assert charts == ours
