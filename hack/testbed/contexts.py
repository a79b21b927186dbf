"""What goes into an image build: a digest of the Dockerfile and of the files it may copy."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# Nothing copies these, and they change all the time: history, the state of beds, environments.
_NEVER = {".git", ".testbed", ".venv"}


def digest_of(dockerfile: Path, context: Path) -> str:
    """Changes whenever the image could, and with nothing else."""
    ignored = _ignore_rules(context)
    digest = hashlib.sha256(dockerfile.read_bytes())
    for path in sorted(_files_in(context)):
        relative = path.relative_to(context)
        if is_ignored(relative.as_posix(), ignored):
            continue
        executable = path.stat().st_mode & 0o111
        digest.update(f"\0{relative}\0{bool(executable)}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _files_in(context: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(context):
        folders[:] = [name for name in folders if name not in _NEVER]
        yield from (path for name in files if (path := Path(folder, name)).is_file())


def is_ignored(path: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether `.dockerignore` keeps a file out: the last rule that matches it, or a folder above it, decides."""
    parents = ["/".join(path.split("/")[: depth + 1]) for depth in range(path.count("/") + 1)]
    ignored = False
    for pattern, ignores in rules:
        if any(pattern.fullmatch(parent) for parent in parents):
            ignored = ignores
    return ignored


def parse_rules(text: str) -> list[tuple[re.Pattern[str], bool]]:
    """The rules of a `.dockerignore`: a pattern, and whether it ignores or takes back in."""
    rules = []
    for raw in text.splitlines():
        line = raw.strip()
        if line and not line.startswith("#"):
            ignores = not line.startswith("!")
            rules.append((_pattern(line.lstrip("!").strip("/")), ignores))
    return rules


def _ignore_rules(context: Path) -> list[tuple[re.Pattern[str], bool]]:
    file = context / ".dockerignore"
    return parse_rules(file.read_text()) if file.exists() else []


def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(token, re.escape(token)) for token in tokens))
