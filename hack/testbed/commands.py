"""Running other programs to their end."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import BedError

# A program that we wait for ends with us: a killed command leaves none at work on a bed that is being removed.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def run(
    *command: str | Path, stdin: str | None = None, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a program and return what it printed; if it fails, say with what words."""
    try:
        done = subprocess.run(
            [*ENDS_WITH_US, *map(str, command)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        # Also when the folder is missing; only the name tells.
        if error.filename != ENDS_WITH_US[0]:
            raise
        raise BedError(f"there is no {ENDS_WITH_US[0]}", fix="run on Linux, with the package util-linux") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise BedError(f"{' '.join(map(str, command))} failed:\n{said[-4000:]}")
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether a program ends well."""
    done = subprocess.run([*map(str, command)], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0
