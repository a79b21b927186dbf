"""Everything that the API server has said of the objects that rollouts consist of, in all namespaces."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from kubernetes.client import ApiClient

from support.watching import Object, Resource, follow

T = TypeVar("T")

ROLLOUTS = Resource("modelrollout.io", "v1alpha1", "modelrollouts")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
EVENTS = Resource("events.k8s.io", "v1", "events")
REPORTS = Resource("modelrollout.io", "v1alpha1", "rolloutreports")
ACTIONS = Resource("modelrollout.io", "v1alpha1", "rolloutactions")
_RECORDED = (ROLLOUTS, ROUTES, DEPLOYMENTS, EVENTS, REPORTS, ACTIONS)


class State(NamedTuple):
    """An object from one write on."""

    version: int
    """Of the whole store: of two states of whatever objects, the later one has the larger version."""
    resource: Resource
    name: str
    object: Object | None
    """None when it was deleted."""


class Trail:
    """What was heard of one namespace."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, Resource, str], State] = {}
        self._told = threading.Condition()

    def note(self, state: State) -> None:
        """Keep a state; one that is told again, because a watch began anew, is kept once."""
        with self._told:
            self._states[state.version, state.resource, state.name] = state
            self._told.notify_all()

    def states(self) -> list[State]:
        """All of them in the order in which they were written."""
        with self._told:
            return sorted(self._states.values(), key=lambda state: state.version)

    def objects(self, resource: Resource) -> dict[str, Object]:
        """What there is of a kind now, by name."""
        latest = {state.name: state.object for state in self.states() if state.resource == resource}
        return {name: found for name, found in latest.items() if found is not None}

    def wait(self, look: Callable[[], T], *, seconds: float) -> T:
        """What `look` returns as soon as that is true, or when the time is over."""
        deadline = time.monotonic() + seconds
        with self._told:
            while not (found := look()) and time.monotonic() < deadline:
                self._told.wait(timeout=1)
        return found


class Recorder:
    """Watches everything until it is stopped, over restarts of the API server, too."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._trails: dict[str, Trail] = {}
        self._making = threading.Lock()

    @contextmanager
    def recording(self) -> Iterator["Recorder"]:
        """Record as long as the context lasts."""
        stopped = threading.Event()
        for resource in _RECORDED:
            note = partial(self._note, resource)
            threading.Thread(target=follow, args=(self._client, resource, note, stopped), daemon=True).start()
        try:
            yield self
        finally:
            stopped.set()

    def trail(self, namespace: str) -> Trail:
        """What was and will be heard of a namespace."""
        with self._making:
            return self._trails.setdefault(namespace, Trail())

    def _note(self, resource: Resource, found: Object, deleted: bool) -> None:
        metadata = found["metadata"]
        state = State(int(metadata["resourceVersion"]), resource, metadata["name"], None if deleted else found)
        self.trail(metadata["namespace"]).note(state)
