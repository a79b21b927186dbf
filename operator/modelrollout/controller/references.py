"""What a rollout describes together with what it refers to: the Deployment of its workloadRef, ConfigMaps, Secrets."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from modelrollout.api.labels import MANAGED_BY, MANAGER
from modelrollout.api.objects import Live
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.workload_ref import Referred, UnusableError, WorkloadRef, handed_over_to
from modelrollout.controller.background import Background
from modelrollout.controller.client import KubeApi
from modelrollout.controller.kinds import DEPLOYMENTS, Key, Kind
from modelrollout.controller.queue import Priority, WorkQueue
from modelrollout.controller.sources import Reading, Sources
from modelrollout.engine.revision import revision_of
from modelrollout.engine.snapshot import Copied, Origin
from modelrollout.workloads import copies
from modelrollout.workloads.copies import Reference

_NOT_OURS = f"{MANAGED_BY}!={MANAGER}"
_READING = Copied(digests={}, trouble="")


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a rollout describes, as far as could be read."""

    spec: ModelRolloutSpec
    """With the template that its workloadRef stands for."""
    copied: Copied | None = None
    copies: Mapping[Reference, str] = field(default_factory=dict)
    """By object that the template names: the name of the copy in its place."""
    origin: Origin | None = None


class References:
    """Looks up what rollouts refer to, in memory only; what is not known yet is read beside the reconcile path."""

    def __init__(
        self,
        api: KubeApi,
        *,
        copied: tuple[Kind, ...],
        namespaces: tuple[str, ...],
        queue: WorkQueue[Key],
        enqueue: Callable[[Key, Priority], None],
        resync: timedelta,
    ) -> None:
        self.copied = Sources[str](
            api,
            kinds=copied,
            namespaces=namespaces,
            readings=Background[Reading[str]](queue, done=lambda reading: not reading.problem),
            enqueue=enqueue,
            resync=resync,
            keep=copies.digest_of,
        )
        self.workloads = Sources[Referred](
            api,
            kinds=(DEPLOYMENTS,),
            namespaces=namespaces,
            readings=Background[Reading[Referred]](queue, done=lambda reading: not reading.problem),
            enqueue=enqueue,
            resync=resync,
            keep=Referred.of,
            content=_what_is_asked_of,
            selector=_NOT_OURS,
        )

    def look(self, key: Key, rollout: ModelRollout) -> Described:
        """What a rollout describes, as far as is known now."""
        ref = rollout.spec.workload_ref
        if ref is None:
            self.workloads.forget(key)
            return self._with_copies(key, rollout, Described(spec=rollout.spec))
        described = self._with_template(key, rollout, ref)
        return described if described.copied else self._with_copies(key, rollout, described)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self.copied.forget(key)
        self.workloads.forget(key)

    def _with_template(self, key: Key, rollout: ModelRollout, ref: WorkloadRef) -> Described:
        """The template of the Deployment that the rollout names, or why there is none."""
        spec, reference = rollout.spec, Reference(DEPLOYMENTS.kind, ref.name)
        reading = self.workloads.look(key, frozenset({reference}))
        if reading is None:
            return Described(spec=spec, copied=_READING)
        found = reading.found.get(reference)
        if found is None:
            trouble = reading.problem or f"{reference}, which spec.workloadRef names, does not exist: {_WITHOUT_IT}"
            return Described(spec=spec, copied=Copied(digests={}, trouble=trouble))
        origin = _origin(found, rollout) if found.made_for is None else None
        try:
            template = found.pod_template(spec.model.identity(key.name), spec.service.target_port)
        except UnusableError as error:
            return Described(spec=spec, copied=Copied(digests={}, trouble=str(error)), origin=origin)
        return Described(spec=spec.model_copy(update={"template": template}), origin=origin)

    def _with_copies(self, key: Key, rollout: ModelRollout, described: Described) -> Described:
        """The names of the copies of what the template names, or why they are not known.

        Nothing as long as a version is in use that the spec describes and that was made without copies, by an earlier
        release or before they were asked for: copying is no reason to make its pods anew.
        """
        spec = described.spec
        named = copies.named(spec.pod_template, _copied_kinds(spec))
        if named and _runs_without_copies(key.name, rollout, spec):
            named = {}
        if any(reference.kind not in self.copied.kinds for reference in named):
            return _told(described, Copied(digests={}, trouble=_SECRETS_ARE_OFF))
        reading = self.copied.look(key, frozenset(named))
        if not named:
            return described
        if reading is None:
            return _told(described, _READING)
        digests = {reference: digest for reference, digest in reading.found.items() if digest}
        missing = [str(one) for one, required in named.items() if required and one not in digests]
        problem = f"of what the template names, {reading.problem}" if reading.problem else ""
        trouble = problem or (_missing(missing) if missing else None)
        by_name = {"/".join(reference): digests.get(reference, "") for reference in named}
        names = {one: copies.name_of(key.name, one, digest) for one, digest in digests.items()}
        return _told(described, Copied(digests=by_name, trouble=trouble), names)


def _told(described: Described, copied: Copied, names: Mapping[Reference, str] | None = None) -> Described:
    return Described(spec=described.spec, origin=described.origin, copied=copied, copies=names or {})


def _what_is_asked_of(deployment: Live) -> Hashable:
    """What changes with the spec of a Deployment, or when it is handed over, and not with every pod of it."""
    metadata = deployment["metadata"]
    return metadata["uid"], metadata.get("generation"), handed_over_to(deployment)


def _origin(found: Referred, rollout: ModelRollout) -> Origin:
    return Origin(
        name=found.name,
        uid=found.uid,
        desired=found.replicas,
        handed_over=found.handed_over_to == rollout.metadata["uid"],
    )


_WITHOUT_IT = "create it, or write its template into spec.template"
_SECRETS_ARE_OFF = (
    "spec.copies.secrets is set, but this operator may not read Secrets: have it run with --copy-secrets "
    "(copies.secrets of its chart), or remove it"
)


def _copied_kinds(spec: ModelRolloutSpec) -> list[str]:
    return [
        kind for kind, copied in (("ConfigMap", spec.copies.config_maps), ("Secret", spec.copies.secrets)) if copied
    ]


def _runs_without_copies(name: str, rollout: ModelRollout, spec: ModelRolloutSpec) -> bool:
    plain, status = revision_of(name, spec), rollout.status
    return any(part.revision == plain for part in (status.stable, status.candidate, status.previous) if part)


def _missing(named: list[str]) -> str:
    return f"the template names what does not exist: {', '.join(named)}; create it, or mark it as optional there"
