"""Tests that are told side by side, because each of them spends its time waiting.

Those of the scenarios and of the faults are begun all at once, and each then stands for how it ended.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

Endings = dict[str, Future[None]]
"""By the id of a test: how it ends."""


def chosen(session: pytest.Session, fixture: str) -> list[pytest.Function]:
    """The tests of this session that ask for a fixture."""
    return [item for item in session.items if isinstance(item, pytest.Function) and fixture in item.fixturenames]


def begin_with(files: Sequence[str], items: list[pytest.Item]) -> None:
    """Put the tests of these files first, in this order: what takes long and begins late has everybody wait for it."""
    places = {name: place for place, name in enumerate(files)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@contextmanager
def side_by_side(at_once: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for so many stories; what has not begun when nobody waits for it any more does not begin."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="story") as threads:
        yield threads
        threads.shutdown(cancel_futures=True)


@contextmanager
def begun(
    tests: list[pytest.Function], run: Callable[[Callable[..., None], dict[str, Any]], None], *, at_once: int
) -> Iterator[Endings]:
    """Run tests in threads, so many at once; `run` is called with each test's function and its parameters."""
    with side_by_side(at_once) as threads:
        yield {test.nodeid: threads.submit(run, test.obj, _parameters_of(test)) for test in tests}


def stands_for_its_story(test: pytest.Function, fixture: str) -> bool | None:
    """For `pytest_pyfunc_call`: a test that asks for the fixture is as good as its story, which `endings` has begun."""
    if fixture not in test.fixturenames:
        return None
    endings: Any = test.funcargs["endings"]
    endings[test.nodeid].result()
    return True


def _parameters_of(test: pytest.Function) -> dict[str, Any]:
    return dict(test.callspec.params) if hasattr(test, "callspec") else {}
