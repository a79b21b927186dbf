"""Mounts that a bed or an image build made."""

import re
from collections.abc import Iterable
from pathlib import Path

from .commands import run


def unmount_below(folder: Path) -> None:
    """Undo the mounts below the folder, the deepest first."""
    for mount in sorted(mount_points(Path("/proc/self/mountinfo").read_text().splitlines()), key=len, reverse=True):
        if mount.startswith(f"{folder}/"):
            run("umount", "--lazy", mount)


def mount_points(mountinfo: Iterable[str]) -> list[str]:
    """The mount points in `/proc/self/mountinfo`, where blanks and the like are written as octal numbers."""
    raw = [line.split()[4] for line in mountinfo]
    return [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path) for path in raw]
