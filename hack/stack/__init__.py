"""ModelRollout installed on a full test bed, and a model served by it: what the demo and the end-to-end tests share."""

from .history import History, NotReachedError, State
from .install import install
from .served import Serve, Served

__all__ = ["History", "NotReachedError", "Serve", "Served", "State", "install"]
