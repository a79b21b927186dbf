"""Which beds are removed, and where they may be asked, as far as it can be told without one."""

import os
import subprocess
from pathlib import Path

import pytest

import testbed
from testbed import beds, gobuild, images, kind, network, state
from testbed.errors import BedError
from testbed.state import BedState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The beds of a clone that has none yet, on a machine that has none else."""
    monkeypatch.setattr(state, "beds_folder", lambda: tmp_path)
    monkeypatch.setattr(network, "claimed", dict)
    return tmp_path


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of beds that were to be removed."""
    names: list[str] = []
    monkeypatch.setattr(beds, "down", names.append)
    return names


def test_a_temporary_bed_goes_in_the_end_and_those_of_killed_processes_before(
    folder: Path, removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f"cluster-{ended.pid}", f"cluster-{os.getppid()}", f"bench-{ended.pid}", "cluster-x", "test"):
        (folder / name).mkdir()
    monkeypatch.setattr(beds, "up", lambda *_: None)
    with testbed.temporary("light", "cluster"):
        assert removed == [f"cluster-{ended.pid}"]
    assert removed[1:] == [f"cluster-{os.getpid()}"]


def test_a_bed_that_cannot_be_removed_keeps_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def down(name: str) -> None:
        asked.append(name)
        if name == "one":
            raise BedError("device is busy")

    monkeypatch.setattr(beds, "down", down)
    monkeypatch.setattr(images, "remove_interrupted", lambda: None)
    for name in ("one", "two"):
        (folder / name).mkdir()
    with pytest.raises(BedError, match="bed one: device is busy"):
        beds.down_all()
    assert asked == ["one", "two"]


def test_ranges_are_those_of_beds_that_are_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert testbed.ranges() == []
    monkeypatch.setattr(network, "claimed", lambda: {3: folder})
    monkeypatch.setattr(kind, "node_address", lambda _: "172.18.0.2")
    BedState("test", "full", "boot", docker=True).save()
    BedState("light", "light", "boot").save()
    assert [str(one) for one in testbed.ranges()] == ["10.244.3.0/24", "10.96.3.0/24", "10.97.3.0/30", "172.18.0.2/32"]


def test_a_cluster_of_kind_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []

    def run(*command: object) -> str:
        commands.append(tuple(map(str, command)))
        return ""

    monkeypatch.setattr(kind, "run", run)
    monkeypatch.setattr(gobuild, "program", Path)
    names = []
    for clone in ("one", "two"):
        monkeypatch.setattr(state, "beds_folder", lambda clone=clone: Path("/nowhere", clone))
        for name in ("test", "a" * 32):
            kind.remove(BedState(name, "full", "boot", docker=True))
            names.append(commands[-1][-1].removeprefix("--name="))
    assert len(set(names)) == 4
    assert names[0].startswith("modelrollout-test-")
    assert all(len(f"{name}-control-plane") <= 63 for name in names)
