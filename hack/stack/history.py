"""Everything that the API server has said of one object since the watch began, with the moment of each."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import urllib3
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes.watch import Watch

Object = dict[str, Any]

_RENEW_SECONDS = 5
"""Length of one watch, and so the longest that its end can take, if that is asked for while one begins."""
_SERVER_MAY_BE_BACK = 0.5


@dataclass(frozen=True)
class State:
    """The object from one moment on; None while there is none."""

    at: float
    """When it was heard of, in seconds since the epoch."""
    object: Object | None


class NotReachedError(AssertionError):
    """Something that was waited for did not come."""


class History:
    """All states of an object, in order, over restarts of the API server.

    Nothing is lost between two waits: they look at what came since, too.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        group: str,
        version: str,
        plural: str,
        namespace: str,
        name: str,
        tell: Callable[[Object | None], None] = lambda _: None,
    ) -> None:
        """A watch that begins with the context; `tell` is called with each state as soon as it is heard of."""
        self._what = f"{plural}/{name}"
        self._objects = CustomObjectsApi(client)
        self._where: dict[str, Any] = {"group": group, "version": version, "plural": plural, "namespace": namespace}
        self._selector = f"metadata.name={name}"
        self._tell = tell
        self._states: list[State] = []
        self._told = threading.Condition()
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._changes: Any = Watch()  # type: ignore[no-untyped-call]
        self._thread = threading.Thread(target=self._follow, name=f"watch of {self._what}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """End the watch, and wait for that."""
        self._stopped.set()
        self._changes.stop()
        self._thread.join(2 * _RENEW_SECONDS)

    def check(self) -> None:
        """Raise NotReachedError if the watch has failed: nothing more will be heard of then."""
        if self._failure:
            raise NotReachedError(f"{self._what}: the watch failed") from self._failure

    @property
    def states(self) -> list[State]:
        """Every state so far."""
        return self._states[:]

    @property
    def latest(self) -> Object | None:
        """The object as last heard of."""
        return self._states[-1].object if self._states else None

    def wait(
        self, reached: Callable[[Object | None], Any], *, what: str, timeout: float, since: State | None = None
    ) -> State:
        """The first state for which the condition holds, among those so far and those to come.

        Those before `since` are passed over.

        Raises:
            NotReachedError: there was none within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        seen = self._position_of(since) if since else 0
        with self._told:
            while True:
                for state in self._states[seen:]:
                    if reached(state.object):
                        return state
                seen = len(self._states)
                self.check()
                if not self._told.wait(timeout=deadline - time.monotonic()):
                    raise NotReachedError(f"not within {timeout:g} s: {what}")

    def _position_of(self, wanted: State) -> int:
        return next(position for position, state in enumerate(self._states) if state is wanted)

    def _follow(self) -> None:
        try:
            version = self._list()
            while not self._stopped.is_set():
                version = self._watch(version)
        except Exception as error:
            # A watch that is ended in the middle may complain of it.
            if self._stopped.is_set():
                return
            with self._told:
                self._failure = error
                self._told.notify_all()

    def _list(self) -> str:
        answer: Any = self._objects.list_namespaced_custom_object(**self._where, field_selector=self._selector)
        self._note(answer["items"][0] if answer["items"] else None)
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow the changes for a while; returns the resourceVersion to go on from."""
        ask = self._objects.list_namespaced_custom_object
        options = {"field_selector": self._selector, "timeout_seconds": _RENEW_SECONDS, "resource_version": version}
        try:
            for event in self._changes.stream(ask, **self._where, **options):
                self._note(None if event["type"] == "DELETED" else event["object"])
        except ApiException as error:
            if error.status == 410:
                return self._list()
            if error.status and error.status < 500:
                raise
            self._stopped.wait(_SERVER_MAY_BE_BACK)
        except (urllib3.exceptions.HTTPError, OSError):
            self._stopped.wait(_SERVER_MAY_BE_BACK)
        return str(self._changes.resource_version or version)

    def _note(self, found: Object | None) -> None:
        self._tell(found)
        with self._told:
            self._states.append(State(time.time(), found))
            self._told.notify_all()
