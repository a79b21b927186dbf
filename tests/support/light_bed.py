"""A light bed for the tests of one session."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import testbed
from stack.operator_process import apply_crds
from support.terminal import Shown


@contextmanager
def light_bed(shown: Shown, purpose: str) -> Iterator[testbed.Bed]:
    """One that knows our kinds, and shows how it comes up; removed at the end."""
    with ExitStack() as until_the_end:
        with shown():
            bed = until_the_end.enter_context(testbed.temporary("light", purpose))
        apply_crds(bed)
        yield bed
