"""Where the test bed keeps things: state inside the repository (git-ignored), builds outside of it."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "modelrollout"
TOOLS = REPOSITORY / "hack" / "tools"
IMAGES = REPOSITORY / "hack" / "images"
MANIFESTS = Path(__file__).parent / "manifests"

# How the test bed is called from the repository: so that whoever reads of a fix can run it as it stands.
COMMAND = "PYTHONPATH=hack .venv/bin/python -m testbed"

# What exists once per machine, whatever the clone it was started from: which bed holds which network.
MACHINE = Path("/run/modelrollout-testbed")


def beds_folder() -> Path:
    """The folder with one sub-folder of state for each bed of this clone."""
    return REPOSITORY / ".testbed"


def cache_folder() -> Path:
    """The folder of built programs and images, shared by every clone of this user."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "modelrollout-testbed"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
