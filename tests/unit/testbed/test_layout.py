"""Names, addresses and files of beds."""

import ipaddress
import itertools
from pathlib import Path

import pytest

from testbed import gobuild, paths, state
from testbed.errors import BedError
from testbed.mounts import mount_points
from testbed.network import SLOTS, Network
from testbed.state import BedState


def test_no_two_networks_overlap() -> None:
    ranges = [
        ipaddress.ip_network(text)
        for slot in SLOTS
        for text in (Network(slot).link, Network(slot).pods, Network(slot).services)
    ]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))


def test_addresses_are_in_their_ranges() -> None:
    network = Network(3)
    assert ipaddress.ip_address(network.dns) in ipaddress.ip_network(network.services)
    assert ipaddress.ip_address(network.address) in ipaddress.ip_network(network.link)
    # Linux gives an interface a name of at most 15 characters, and a socket a path of at most 107.
    assert all(len(Network(slot).namespace) <= 15 for slot in SLOTS)
    assert len(f"{network.containerd_socket}.ttrpc") <= 107


@pytest.mark.parametrize("name", ["", "../etc", "A", "-a", "a-", "a" * 33, ".locks"])
def test_a_name_that_is_no_folder_of_ours_is_refused(name: str) -> None:
    with pytest.raises(BedError, match="cannot name a bed"):
        state.folder_of(name)


def test_state_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "beds_folder", lambda: tmp_path)
    assert state.load("one") is None
    written = BedState("one", "full", "boot", slot=2, ports={"apiserver": 6443}, tokens=state.new_tokens())
    written.save()
    assert state.load("one") == written
    (tmp_path / ".locks").mkdir()
    assert state.names() == ["one"]


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    secret = tmp_path / "folder" / "token"
    state.write_private(secret, "s3cret")
    assert secret.stat().st_mode & 0o077 == 0


def test_ports_are_different_and_free() -> None:
    programs = [f"program-{number}" for number in range(20)]
    assert len(set(state.free_ports(programs).values())) == len(programs)


def test_blanks_in_mount_points() -> None:
    line = r"36 35 98:0 / /var/my\040folder rw,noatime shared:1 - ext4 /dev/sda rw"
    assert mount_points([line]) == ["/var/my folder"]


def test_every_program_is_built_from_a_module_that_pins_it() -> None:
    for module in gobuild.MODULES:
        assert (module.folder / "go.sum").exists()
        assert module.ldflags().startswith("-s -w")
    assert "gitVersion=v1." in gobuild.MODULES[0].ldflags()
    assert gobuild.gateway_version().startswith("v1.")
    with pytest.raises(BedError, match="does not require"):
        gobuild.MODULES[0].version_of("example.com/none")


def test_a_bump_rebuilds_its_own_module_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(gobuild, "TOOLS", tmp_path)
    monkeypatch.setattr(gobuild, "go_version", lambda: "go1.26.7")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "go.mod").write_text("module x\nrequire example.com/tool v1.2.3\n")

    def built(name: str) -> Path:
        return gobuild.Module(name, {"tool": "example.com/tool"}, {}).built

    before = built("one"), built("two")
    (tmp_path / "one" / "go.mod").write_text("module x\nrequire example.com/tool v1.2.4\n")
    assert built("one") != before[0]
    assert built("two") == before[1]


@pytest.mark.parametrize(
    ("found", "enough"), [("go1.26.6", False), ("go1.25.9", False), ("go1.26.7", True), ("go1.27rc1", True)]
)
def test_a_compiler_that_is_too_old_is_refused(found: str, enough: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "needed_go", lambda: "1.26.7")
    monkeypatch.setattr(gobuild, "_go", lambda *_, **__: found)
    version = gobuild.go_version.__wrapped__
    if enough:
        assert version() == found
    else:
        with pytest.raises(BedError, match=rf"Go 1.26.7 or newer is needed, this is {found}\n  fix: install it"):
            version()


@pytest.mark.parametrize("guide", ["README.md", "CONTRIBUTING.md"])
def test_guides_name_the_compiler_that_is_needed(guide: str) -> None:
    assert f"Go ≥ {gobuild.needed_go()}" in (paths.REPOSITORY / guide).read_text()


def test_manifests_are_where_they_are_looked_for() -> None:
    names = {path.name for path in paths.MANIFESTS.glob("*.yaml")}
    assert {"coredns.yaml", "gateway-class.yaml", "kwok-node.yaml", "prometheus.yaml"} <= names
