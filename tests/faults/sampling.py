"""How much of what could be tried is tried: a few of each kind, one with FAULTS_ONE, everything with FAULTS_ALL."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EVERYTHING = bool(os.environ.get("FAULTS_ALL"))
ONE = bool(os.environ.get("FAULTS_ONE"))


def some(cases: Sequence[T], few: int) -> Sequence[T]:
    """The first few of the cases, or the first alone, or all of them."""
    return cases if EVERYTHING else cases[: 1 if ONE else few]
