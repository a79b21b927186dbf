"""What an image is rebuilt for."""

from pathlib import Path

import pytest

from testbed.contexts import digest_of, is_ignored, parse_rules


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("docs", "docs/guide/index.md", True),
        ("docs/", "docs/index.md", True),
        ("docs", "operator/docs", False),
        ("**/docs", "operator/docs/a.md", True),
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("**/*.md", "README.md", True),
        ("*\n!operator", "operator/modelrollout/api/v1.py", False),
        ("*\n!operator", "tests/unit/a.py", True),
        ("*\n!operator\n**/__pycache__", "operator/x/__pycache__/y.pyc", True),
        ("# docs\n\n", "docs/a.md", False),
        ("te?t.py", "test.py", True),
        ("a.b", "axb", False),
    ],
)
def test_dockerignore(rules: str, path: str, ignored: bool) -> None:
    assert is_ignored(path, parse_rules(rules)) is ignored


def test_digest_changes_with_what_is_copied_and_with_nothing_else(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in ("app.py", "notes/today.md", ".git/HEAD"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("first")
    (context / ".dockerignore").write_text("notes\n")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    before = digest_of(dockerfile, context)

    (context / "notes/today.md").write_text("second")
    (context / ".git/HEAD").write_text("second")
    assert digest_of(dockerfile, context) == before

    (context / "app.py").chmod(0o755)
    executable = digest_of(dockerfile, context)
    (context / "app.py").write_text("second")
    changed = digest_of(dockerfile, context)
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    assert len({before, executable, changed, digest_of(dockerfile, context)}) == 4
