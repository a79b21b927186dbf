"""What the person at the terminal sees while tests are set up."""

from collections.abc import Callable
from contextlib import AbstractContextManager

Shown = Callable[[], AbstractContextManager[None]]
"""Type of the fixture `shown`."""
