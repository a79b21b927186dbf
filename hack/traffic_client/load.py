"""Load in the background: a process of its own, so that whoever watches the rollout does not slow the requests down."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .answers import Answer

_STOP_TIMEOUT = 30.0


class Load:
    """Requests at a steady rate, from entering the `with` until `stop`, its end, or the bounds are reached."""

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        requests: int,
        seconds: float,
        host: str = "",
        headers: Mapping[str, str] | None = None,
        keep_alive: bool = True,
        connections: int = 16,
    ) -> None:
        """See `sender.Plan` for what each means."""
        self._command = [
            *(sys.executable, "-m", "traffic_client", url),
            *(f"--host={host}", f"--rate={rate}", f"--requests={requests}", f"--seconds={seconds}"),
            *(f"--connections={connections}", "--keep-alive" if keep_alive else "--no-keep-alive"),
            *(argument for header in (headers or {}).items() for argument in ("--header", *header)),
        ]
        self._answers: list[Answer] = []
        self._told = threading.Condition()
        self._ended = False

    @property
    def answers(self) -> list[Answer]:
        """Every answer so far, in the order in which they came."""
        return self._answers[:]

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        self._complaints = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for whoever watches, who then stops this in order
        )
        self._reader = threading.Thread(target=self._read, name="answers", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._complaints.close()

    def wait_for(self, count: int, *, sent_after: float = 0.0, timeout: float) -> None:
        """Wait until so many more requests are answered than now, or than at the first answer to one sent after a time.

        `sent_after` is in seconds since the epoch, `timeout` in seconds for each of the two. Raises TimeoutError, also
        when the sender has ended before.
        """
        with self._told:
            self._until(
                lambda: self._answers and self._answers[-1].sent_at > sent_after, "one sent late enough", timeout
            )
            wanted = len(self._answers) + count
            self._until(lambda: len(self._answers) >= wanted, f"{wanted} in all", timeout)

    def _until(self, reached: Callable[[], object], what: str, timeout: float) -> None:
        self._told.wait_for(lambda: reached() or self._ended, timeout)
        if not reached():
            when = "the sender has ended" if self._ended else f"not within {timeout:g} s"
            raise TimeoutError(f"{when}: {what} is wanted, there are {len(self._answers)} answers")

    def stop(self) -> list[Answer]:
        """Begin no more requests, wait for the answers of those under way, and return all.

        Raises:
            RuntimeError: the sender failed, so the answers may not be all.
        """
        self._process.terminate()
        return self.wait(timeout=_STOP_TIMEOUT)

    def wait(self, *, timeout: float) -> list[Answer]:
        """Wait until the bounds are reached and return all answers; raises as `stop` does, or TimeoutExpired."""
        code = self._process.wait(timeout)
        self._reader.join()
        if code not in (0, -signal.SIGTERM):  # the signal ends the sender only before it has begun to send
            self._complaints.seek(0)
            raise RuntimeError(f"{' '.join(self._command)} failed: {self._complaints.read()}")
        return self.answers

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._told:
                self._answers.append(Answer.from_line(line))
                self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()
