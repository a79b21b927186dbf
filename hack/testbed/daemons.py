"""Long-running programs that outlive the command which started them.

A daemon is known by its pid *and* the moment it was started, on this boot of the machine: a pid that was given to
another process in the meantime is never signalled.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import BedError
from .processes import parse_stat, send_if
from .waiting import wait_until

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# The process notes its own identity before it becomes the program, so that nothing is lost when the command that
# starts it is killed at any moment.
_NOTE_AND_BECOME = 'cat /proc/$$/stat /proc/sys/kernel/random/boot_id > "$0.new" && mv "$0.new" "$0" && exec "$@"'


@dataclass(frozen=True)
class Identity:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    started: str
    boot: str

    def is_running(self) -> bool:
        """Whether that very process still runs.

        A zombie does not, unless it has other threads: its ports are free when the last of them has ended.
        """
        if BOOT_ID.read_text().strip() != self.boot:
            return False
        process = Path(f"/proc/{self.pid}")
        try:
            now = parse_stat((process / "stat").read_text())
            threads = len(list((process / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            return False
        return now.started == self.started and (now.state not in "ZX" or threads > 1)


@dataclass(frozen=True)
class Daemon:
    """One program of a bed: `run/NAME.pid` says who it is, `logs/NAME.log` what it said."""

    name: str
    folder: Path

    @property
    def pid_file(self) -> Path:
        """Who the running process is."""
        return self.folder / "run" / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """All that the program wrote, over all its starts."""
        return self.folder / "logs" / f"{self.name}.log"

    def identity(self) -> Identity | None:
        """The process that was started last, running or not."""
        try:
            stat, boot = self.pid_file.read_text().splitlines()
        except FileNotFoundError:
            return None
        process = parse_stat(stat)
        return Identity(process.pid, process.started, boot)

    def is_running(self) -> bool:
        """Whether the program runs."""
        identity = self.identity()
        return identity is not None and identity.is_running()

    def start(self, argv: Sequence[str], *, netns: str | None = None, env: Mapping[str, str] | None = None) -> None:
        """Start the program in a session of its own, and in a network namespace if one is named."""
        for file in (self.pid_file, self.log):
            file.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.unlink(missing_ok=True)
        # nsenter and not `ip netns exec`: that mounts a new /sys, which hides the cgroups from a container runtime.
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        with self.log.open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", *enter, "sh", "-c", _NOTE_AND_BECOME, str(self.pid_file), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_inherited(), **(env or {})},
                cwd=self.folder,
                check=True,
            )
        wait_until(self.pid_file.exists, what=f"start of {self.name}", timeout=10, log=self.log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and never to another."""
        identity = self.identity()
        if identity:
            send_if(identity.pid, number, lambda _: identity.is_running())

    def stop(self, *, grace: float = 0) -> None:
        """End the program: asked first if it is given time for that, then killed."""
        if grace:
            self.signal(signal.SIGTERM)
            with suppress(BedError):
                wait_until(lambda: not self.is_running(), what=f"end of {self.name}", timeout=grace)
        self.signal(signal.SIGKILL)
        wait_until(lambda: not self.is_running(), what=f"end of {self.name}", timeout=10, log=self.log)
        self.pid_file.unlink(missing_ok=True)


def _inherited() -> dict[str, str]:
    """Our environment without proxies: everything a bed talks to is on this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
