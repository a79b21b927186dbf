"""An event loop whose time passes at once: it jumps to whatever is due next."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Where the event loop would wait, the time is turned forward."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits for something that nobody will do")
        self.seconds += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.seconds


def in_virtual_time(story: Coroutine[Any, Any, T]) -> T:
    """Run to the end, without waiting; everything may ask `asyncio.get_running_loop().time()` how late it is."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)
