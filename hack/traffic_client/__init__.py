"""Load on a model server: real inference requests at a steady rate, every answer counted. See `load.Load`."""

from .answers import Answer
from .load import Load

__all__ = ["Answer", "Load"]
