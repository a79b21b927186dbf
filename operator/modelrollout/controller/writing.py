"""Objects in the cluster as they were rendered: written by server-side apply, deleted, each only as it was seen.

Nothing is written that is there already: what was rendered is held against the live object first.
"""

from collections.abc import Iterable
from contextlib import suppress

from modelrollout.api.manifests import RENDERED, covers, is_fenced, only_onto
from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.client import ConflictError, EndingNamespaceError, KubeApi, NotFoundError, RefusedError
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import Key, Kind, key_of, kind_of
from modelrollout.controller.observe import Seen


class Writer:
    """Writes and deletes what belongs to one rollout at a time; different rollouts may be written at once."""

    def __init__(self, api: KubeApi, informers: Informers) -> None:
        self._api = api
        self._informers = informers
        self._applied: dict[Key, dict[tuple[Kind, Key], tuple[str, str]]] = {}
        """By rollout and object: digest of what was there last, and the resourceVersion that had it."""

    async def apply(self, seen: Seen, manifests: Iterable[Manifest]) -> bool:
        """Write what is not there like that, in this order; true if that changed anything.

        Raises:
            EndingNamespaceError: an object is gone, and its namespace is going.
            RefusedError: an object is somebody else's, or the API server does not take it.
            ApiError: it could not be written.
        """
        changed = [await self._apply_one(seen, manifest) for manifest in manifests]
        return any(changed)

    async def delete(self, objects: Iterable[Live]) -> None:
        """Begin to delete objects; the watches tell once they are gone.

        Raises:
            ConflictError: one has changed since it was looked at.
            ApiError: one could not be deleted.
        """
        for live in objects:
            async with self._informers.refreshing(kind_of(live), key_of(live)):
                with suppress(NotFoundError):
                    await self._api.delete(live)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._applied.pop(key, None)

    async def _apply_one(self, seen: Seen, manifest: Manifest) -> bool:
        """Server-side apply, if the live object is not like that already.

        An object that exists but does not carry our label is somebody else's: it is not taken over.
        """
        kind, key = kind_of(manifest), key_of(manifest)
        live = self._informers.get(kind.kind, *key)
        applied = self._applied.setdefault(seen.key, {})
        if live and self._is_there(manifest, live, applied):
            return False
        try:
            answer = await self._send(manifest, live)
        except RefusedError as error:
            # At the end, what is not there needs no change, and must not be what holds the deletion up.
            if seen.snapshot.deleting and live is None and not isinstance(error, EndingNamespaceError):
                return False
            raise
        self._informers.learn(answer)
        applied[kind, key] = _digest(manifest), _version(answer)
        return live is None or _version(answer) != _version(live)

    async def _send(self, manifest: Manifest, live: Live | None) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        try:
            return await self._api.apply(only_onto(live, manifest), force=live is not None)
        except NotFoundError as error:
            raise RefusedError(f"{kind} {key}: {error}") from error
        except ConflictError:
            await self._informers.refresh(kind, key)
            never_ours = live is None and not is_fenced(manifest)
            if never_ours and self._informers.get(kind.kind, *key) is None:
                return await self._adopt(manifest)
            raise

    async def _adopt(self, manifest: Manifest) -> Live:
        """Write what is there without our label, which may have got lost, unless a field of it is somebody else's."""
        kind, key = kind_of(manifest), key_of(manifest)
        there = await self._api.get(kind, key)
        try:
            return await self._api.apply(only_onto(there, manifest), force=False)
        except ConflictError as error:
            raise RefusedError(f"{kind} {key} exists and is not ours; delete or rename it: {error}") from error

    @staticmethod
    def _is_there(manifest: Manifest, live: Live, applied: dict[tuple[Kind, Key], tuple[str, str]]) -> bool:
        """Whether applying the manifest would change nothing, because that was found before, or is found now."""
        subject, now = (kind_of(manifest), key_of(manifest)), (_digest(manifest), _version(live))
        if applied.get(subject) == now:
            return True
        if covers(manifest, live):
            applied[subject] = now
            return True
        return False


def _digest(manifest: Manifest) -> str:
    return str(manifest["metadata"]["annotations"][RENDERED])


def _version(live: Live) -> str:
    return str(live["metadata"]["resourceVersion"])
