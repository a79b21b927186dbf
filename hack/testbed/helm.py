"""Helm, on a bed."""

import json

from . import gobuild
from .bed import Bed
from .commands import run
from .errors import BedError


def upgrade(bed: Bed, release: str, *args: str, namespace: str) -> None:
    """Install a release or upgrade it; also one that helm was killed over, which it would not touch itself."""
    _mend(bed, release, namespace)
    helm(bed, "upgrade", "--install", release, *args, f"--namespace={namespace}")


def helm(bed: Bed, *args: str) -> str:
    """Run helm and return what it printed; raises if it fails."""
    return run(gobuild.program("helm"), f"--kubeconfig={bed.kubeconfig}", *args)


def _mend(bed: Bed, release: str, namespace: str) -> None:
    where = f"--namespace={namespace}"
    try:
        found = json.loads(helm(bed, "status", release, where, "--output=json"))
    except BedError as error:
        if "not found" in str(error):
            return
        raise
    if not found["info"]["status"].startswith("pending-"):
        return
    if found["version"] == 1:
        helm(bed, "uninstall", release, where, "--wait", "--timeout=2m")
    else:
        helm(bed, "rollback", release, where)
