"""How the adapters see Kubernetes objects: as JSON, through whatever cache the controller keeps."""

from collections.abc import Mapping
from typing import Any, Protocol

Manifest = dict[str, Any]
"""An object that we render, to be written by server-side apply."""

Live = Mapping[str, Any]
"""An object as the API server has it; never changed in place, since caches hand out what they keep."""


class Objects(Protocol):
    """The objects last seen in the cluster."""

    def get(self, kind: str, namespace: str, name: str) -> Live | None:
        """The object of a kind such as `HTTPRoute`; None when there is none, or when nobody looks for it.

        The namespace is empty for kinds that have none.
        """

    def watches(self, kind: str, namespace: str) -> bool:
        """Whether somebody looks for this kind there. When not, `get` answering None says nothing.

        False when the cluster does not serve the kind, and outside of the namespaces that the operator may read.
        """
