"""The test bed: real Kubernetes clusters on one machine. See `beds.up` and `bed.Bed`."""

from .bed import Bed
from .beds import down, find, ranges, temporary, up
from .errors import BedError

__all__ = ["Bed", "BedError", "down", "find", "ranges", "temporary", "up"]
