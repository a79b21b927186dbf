"""How much of what could be tried is tried: a few things of each kind every day, everything with FAULTS_ALL."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EVERYTHING = bool(os.environ.get("FAULTS_ALL"))


def some(cases: Sequence[T], few: int) -> Sequence[T]:
    """The first few of the cases, or all of them."""
    return cases if EVERYTHING else cases[:few]
