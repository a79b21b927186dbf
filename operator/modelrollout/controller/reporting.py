"""RolloutReports in the cluster: written when the engine asks for it, never watched.

Watching them would cost memory and lists for objects that nobody here reads: a dozen of each rollout, of several
kilobytes. What was written is remembered in the process until the status says it too; after a restart the report of an
attempt that is under way is written once more, which changes nothing.
"""

from collections.abc import Collection
from contextlib import suppress

from modelrollout.api.labels import NAME
from modelrollout.api.manifests import only_onto
from modelrollout.api.objects import Manifest
from modelrollout.api.owner import Rollout
from modelrollout.controller.client import KubeApi, NotFoundError, RefusedError
from modelrollout.controller.kinds import ROLLOUT_REPORTS, Key, key_of
from modelrollout.engine.effects import WriteReport
from modelrollout.records import report


class Reports:
    """Writes reports and removes the oldest."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._written: dict[Key, dict[int, int]] = {}
        """By rollout and attempt: how many entries its report has."""

    def written(self, key: Key) -> frozenset[tuple[int, int]]:
        """See `Snapshot.reported`."""
        return frozenset(self._written.get(key, {}).items())

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._written.pop(key, None)

    async def write(self, rollout: Rollout, effect: WriteReport) -> None:
        """Write the report of an attempt; at its end, those that are too many go.

        Whoever is in its place gives way: nobody else is to write reports. It is written onto what is there now, so
        that a write which arrives when another operator has long gone on does not take entries away.

        Raises:
            ApiError: it could not be written.
        """
        key, record = Key(rollout.namespace, rollout.name), effect.record
        manifest = report.render(rollout, record)
        try:
            await self._api.apply(await self._onto_what_is_there(manifest), force=True)
        except NotFoundError as error:
            raise RefusedError(str(error)) from error
        if record.ended:
            await self._remove_surplus(key, limit=rollout.spec.revision_history_limit, in_use=effect.in_use)
        self._written.setdefault(key, {})[record.attempt] = record.entries

    async def _onto_what_is_there(self, manifest: Manifest) -> Manifest:
        there = None
        with suppress(NotFoundError):
            there = await self._api.get(ROLLOUT_REPORTS, key_of(manifest))
        return only_onto(there, report.with_course_of(there, manifest))

    async def _remove_surplus(self, key: Key, *, limit: int, in_use: Collection[int]) -> None:
        selector = f"{ROLLOUT_REPORTS.selector},{NAME}={key.name}"
        pages = self._api.pages(ROLLOUT_REPORTS, namespace=key.namespace, selector=selector)
        for one in report.surplus([one async for page in pages for one in page.items], limit=limit, in_use=in_use):
            with suppress(NotFoundError):
                await self._api.delete(one)
