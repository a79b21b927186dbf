"""What attempts run: described by the spec or by a record, with copies of what the template names."""

from modelrollout.api.labels import attempt_of, colour_name, record_name
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.template import has_port
from modelrollout.controller.client import ConflictError, KubeApi, NotFoundError, RefusedError
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import CONTROLLER_REVISIONS, COPIED, DEPLOYMENTS, Key
from modelrollout.controller.observe import Seen
from modelrollout.engine.effects import ApplyWorkload, Forget
from modelrollout.workloads import copies, deployment, revisions
from modelrollout.workloads.revisions import Content


class Attempts:
    """Finds out what is to be written so that an attempt runs, and what is left of one that is forgotten."""

    def __init__(self, api: KubeApi, informers: Informers) -> None:
        self._api = api
        self._informers = informers
        self._contents: dict[Key, tuple[str, Content]] = {}
        """By rollout: what was read from a record, and its revision."""

    async def manifests(self, seen: Seen, effect: ApplyWorkload) -> list[Manifest]:
        """The Deployment, behind the record of what it runs and the copies that it takes, where those are not there.

        The record comes first: nothing runs that cannot be gone back to, and no copy is there that no record names.
        """
        content = await self._content(seen, effect)
        needed: list[Manifest] = []
        if effect.attempt not in seen.snapshot.recorded:
            needed.append(revisions.render(seen.owner, effect, content))
        if effect.recorded is None:
            needed += await self._missing_copies(seen)
        live = self._informers.get(DEPLOYMENTS.kind, seen.key.namespace, colour_name(seen.key.name, effect.colour))
        return [*needed, deployment.render(seen.owner, effect, content, live)]

    def left_of(self, seen: Seen, effect: Forget) -> list[Live]:
        """What to delete of attempts that are forgotten.

        Copies go before their record, so that what a crash leaves over is still named by one.
        """
        records = {attempt_of(record): record for record in self._informers.records(seen.key)}
        going = [records.pop(attempt) for attempt in effect.attempts if attempt in records]
        needed = {copy for record in records.values() for copy in revisions.copies_of(record)}
        unneeded = {copy for record in going for copy in revisions.copies_of(record)} - needed
        there = (self._informers.get(copy.kind, seen.key.namespace, copy.name) for copy in sorted(unneeded))
        return [*filter(None, there), *going]

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._contents.pop(key, None)

    async def _content(self, seen: Seen, effect: ApplyWorkload) -> Content:
        """What an attempt runs; read from a record only once, since records never change."""
        if effect.recorded is None:
            self.forget(seen.key)
            return revisions.described(seen.owner, seen.copies)
        revision, content = self._contents.get(seen.key, ("", None))
        if content is None or revision != effect.revision:
            content = await self._recorded(seen, effect, effect.recorded)
            self._contents[seen.key] = effect.revision, content
        return content

    async def _recorded(self, seen: Seen, effect: ApplyWorkload, attempt: int) -> Content:
        name = record_name(seen.key.name, effect.attempt if effect.attempt in seen.snapshot.recorded else attempt)
        try:
            record = await self._api.get(CONTROLLER_REVISIONS, Key(seen.key.namespace, name))
        except NotFoundError as error:
            raise RefusedError(f"ControllerRevision {name}, which says what to go back to, is gone") from error
        content, port = revisions.content_of(record), seen.spec.service.target_port
        if attempt != effect.attempt and not has_port(content.template, port):
            raise RefusedError(f"attempt {attempt} had no port {port}: correct spec.service.targetPort first")
        return content

    async def _missing_copies(self, seen: Seen) -> list[Manifest]:
        """The copies that are not there, of the very content that was looked at."""
        namespace, missing = seen.key.namespace, []
        for reference, name in seen.copies.items():
            if self._informers.get(reference.kind, namespace, name):
                continue
            try:
                source = await self._api.get(COPIED[reference.kind], Key(namespace, reference.name))
            except NotFoundError as error:
                raise ConflictError(f"{reference} has just been deleted") from error
            if copies.name_of(seen.key.name, reference, copies.digest_of(source)) != name:
                raise ConflictError(f"{reference} has just been changed")
            missing.append(copies.render(seen.owner, reference, source, name))
        return missing
