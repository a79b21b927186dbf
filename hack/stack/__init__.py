"""What the demo, the bench and the tests share.

On a full bed ModelRollout is installed, and a model served by it; beside a light one the operator runs as a process.
"""

from .history import History, NotReachedError, State
from .install import install
from .served import Serve, Served

__all__ = ["History", "NotReachedError", "Serve", "Served", "State", "install"]
