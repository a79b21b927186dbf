"""A release that helm was killed over is mended before it is upgraded."""

import json
from typing import Any

import pytest

from testbed import helm
from testbed.errors import BedError


class Release:
    """What helm knows of the release, and what it was asked to do."""

    def __init__(self, status: str, revision: int) -> None:
        self.known = json.dumps({"info": {"status": status}, "version": revision})
        self.done: list[str] = []

    def helm(self, _: Any, verb: str, *__: str) -> str:
        if verb != "status":
            self.done.append(verb)
        elif not self.known:
            raise BedError("Error: release: not found")
        return self.known


@pytest.mark.parametrize(
    ("status", "revision", "done"),
    [
        ("pending-install", 1, ["uninstall", "upgrade"]),
        ("pending-upgrade", 2, ["rollback", "upgrade"]),
        ("pending-rollback", 3, ["rollback", "upgrade"]),
        ("deployed", 2, ["upgrade"]),
        ("failed", 1, ["upgrade"]),
    ],
)
def test_what_is_pending_is_mended(
    status: str, revision: int, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release, bed = Release(status, revision), None
    monkeypatch.setattr(helm, "helm", release.helm)
    helm.upgrade(bed, "eg", "chart", namespace="gateways")  # type: ignore[arg-type]
    assert release.done == done


def test_one_that_is_not_there_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    release, bed = Release("", 0), None
    release.known = ""
    monkeypatch.setattr(helm, "helm", release.helm)
    helm.upgrade(bed, "eg", "chart", namespace="gateways")  # type: ignore[arg-type]
    assert release.done == ["upgrade"]
