"""kopf as the informer: it keeps the watches and hands every event over, and does nothing else.

Only `on.event` handlers are registered. They leave nothing on the objects: no finalizer, no annotation, no patch.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kopf

from modelrollout.api.objects import Live
from modelrollout.controller.kinds import Kind

OnEvent = Callable[[Kind, str | None, Live], None]
"""Called with the kind, the type of the event (None for the initial list) and the object."""


def registry(kinds: Iterable[Kind], on_event: OnEvent) -> kopf.OperatorRegistry:
    """Handlers that pass on every event of these kinds."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(kopf.login_via_client)
    for kind in kinds:
        _pass_on(handlers, kind, on_event)
    return handlers


def kopf_settings(kinds: Iterable[Kind], *, whole_cluster: bool) -> kopf.OperatorSettings:
    """Watches that are narrow, give up on silence, and try again for as long as it takes."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    # A role for some namespaces cannot read CRDs; then kinds that are installed later are seen after a restart.
    settings.scanning.disabled = not whole_cluster
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    for kind in kinds:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
        if kind.fields:
            settings.watching.field_selectors[kind.group, kind.version, kind.plural] = kind.fields
    return settings


def _pass_on(handlers: kopf.OperatorRegistry, kind: Kind, on_event: OnEvent) -> None:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        on_event(kind, event["type"], event["object"])

    kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers, id=kind.plural)(handle)


class _Backoffs:
    """Seconds between tries, without end: kopf stops the whole operator when they are used up."""

    def __iter__(self) -> Iterator[float]:
        for seconds in (0.2, 0.5, 1, 2, 4):
            yield seconds * random.uniform(0.8, 1.2)  # noqa: S311
        while True:
            yield random.uniform(4, 8)  # noqa: S311
