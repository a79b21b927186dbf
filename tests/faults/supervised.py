"""An operator that is started again whenever it dies, as Kubernetes does it."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from faults.nursery import Operator
from stack.operator_process import eventually

_RESTARTS = 3
"""After so many ends that nobody asked for it is left alone: it does not work at all."""


class Supervised:
    """Operator processes, one after another."""

    def __init__(self, start: Callable[[int], Operator]) -> None:
        """`start` is called with the number of each process."""
        self._start = start
        self._changed = threading.Condition()
        self._ended = False
        self._processes: list[Operator] = []
        self.kills = 0
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._processes.append(self._start(0))
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with self._changed:
            self._ended = True
            self._processes[-1].kill()
        self._thread.join()

    def kill(self) -> None:
        """As the kernel does it; returns when the process is gone and the next one begins to start."""
        with self._changed:
            self.kills += 1
            self._processes[-1].kill()
            self._changed.wait_for(lambda: len(self._processes) > self.kills)

    @property
    def ended_by_themselves(self) -> list[str]:
        """Logs of processes that ended although nobody killed them."""
        surplus = len(self._processes) - 1 - self.kills
        return [process.log.read_text() for process in self._processes[:-1]] if surplus else []

    def wait_until_ready(self) -> None:
        """Wait until the present process has seen everything there is."""
        eventually(lambda: self._processes[-1].is_ready, "the operator being ready", seconds=90)

    def _follow(self) -> None:
        while True:
            self._processes[-1].process.join()
            with self._changed:
                if self._ended or len(self._processes) > self.kills + _RESTARTS:
                    return
                self._processes.append(self._start(len(self._processes)))
                self._changed.notify_all()
