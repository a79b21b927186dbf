"""Programs that outlive the command that started them, and are never confused with another."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.daemons import Daemon
from testbed.errors import BedError
from testbed.processes import parse_stat, with_descendants
from testbed.waiting import wait_until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    program = Daemon("program", tmp_path)
    yield program
    program.stop()


def pid_of(daemon: Daemon) -> int:
    identity = daemon.identity()
    assert identity
    return identity.pid


def test_it_is_found_again_and_stopped_by_another_command(daemon: Daemon) -> None:
    daemon.start(["sleep", "60"])
    found = Daemon(daemon.name, daemon.folder)
    assert found.is_running()
    found.stop()
    assert not daemon.is_running()
    assert daemon.identity() is None


def test_it_is_known_to_have_died(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", "echo farewell; exit 1"])
    wait_until(lambda: not daemon.is_running(), what="its end", timeout=5)
    assert daemon.log.read_text() == "farewell\n"


def test_it_runs_until_the_last_of_its_threads_has_ended(daemon: Daemon) -> None:
    """Until then its ports are taken, and it cannot be started again."""
    daemon.start([sys.executable, "-c", _FIRST_THREAD_ENDS])
    wait_until(lambda: _state_of(daemon) == "Z", what="the end of its first thread", timeout=10)
    assert daemon.is_running()
    daemon.stop()
    assert not daemon.is_running()


_FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def _state_of(daemon: Daemon) -> str:
    identity = daemon.identity()
    return parse_stat(Path(f"/proc/{identity.pid}/stat").read_text()).state if identity else ""


def test_it_is_given_time_to_end_and_then_killed(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"])
    wait_until(lambda: "deaf" in daemon.log.read_text(), what="its start", timeout=5)
    daemon.stop(grace=0.2)
    assert not daemon.is_running()


@pytest.mark.parametrize("field", ["started", "boot"])
def test_a_process_that_took_its_pid_is_not_touched(daemon: Daemon, field: str) -> None:
    daemon.start(["sleep", "60"])
    pid = pid_of(daemon)
    ours = daemon.pid_file.read_text()
    started = parse_stat(ours.splitlines()[0]).started
    daemon.pid_file.write_text(
        ours.replace(f" {started} ", " 1 ") if field == "started" else f"{ours.splitlines()[0]}\nx\n"
    )
    assert not daemon.is_running()
    daemon.signal(signal.SIGKILL)
    assert Path(f"/proc/{pid}/stat").exists()
    daemon.pid_file.write_text(ours)
    assert daemon.is_running()


def test_an_end_while_waiting_is_told_with_the_last_words(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", "echo no such flag"])
    with pytest.raises(BedError, match=r"it ended instead(?s:.*)no such flag"):
        wait_until(lambda: False, what="ready", timeout=5, log=daemon.log, given_up=lambda: not daemon.is_running())


def test_a_condition_that_does_not_come_is_named(tmp_path: Path) -> None:
    with pytest.raises(BedError, match="the moon: not reached within 0 s"):
        wait_until(lambda: False, what="the moon", timeout=0.1, log=tmp_path / "none.log")


def test_names_of_commands_may_hold_anything() -> None:
    stat = "42 (a b) S) R 7 " + " ".join(str(n) for n in range(17)) + " 99887 0"
    parsed = parse_stat(stat)
    assert (parsed.pid, parsed.state, parsed.parent, parsed.started) == (42, "R", 7, "99887")


def test_descendants_follow_their_parents(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", "sh -c 'echo up; sleep 60; :' ; :"])
    wait_until(lambda: "up" in daemon.log.read_text(), what="its start", timeout=5)
    top = pid_of(daemon)
    wait_until(lambda: len(with_descendants([top])) == 3, what="three generations", timeout=5)
    assert with_descendants([top])[0] == top
    for pid in with_descendants([top])[1:]:
        os.kill(pid, signal.SIGKILL)
