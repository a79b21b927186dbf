"""Carries effects out, in their order, up to the first that fails.

Every answer goes into the caches at once, so that the next decision sees what this one did.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.action import RolloutActionStatus
from modelrollout.api.base import API_VERSION
from modelrollout.api.labels import ATTEMPT, FINALIZER, NAME, colour_name, serving_selector
from modelrollout.api.manifests import only_onto, seen_as
from modelrollout.api.objects import Live
from modelrollout.api.status import ModelRolloutStatus, Phase
from modelrollout.api.workload_ref import handed_over_to
from modelrollout.controller.attempts import Attempts
from modelrollout.controller.background import Background
from modelrollout.controller.client import (
    ApiError,
    ConflictError,
    EndingNamespaceError,
    KubeApi,
    NotFoundError,
    RefusedError,
)
from modelrollout.controller.events import EventRecorder
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import (
    CHILDREN,
    DEPLOYMENTS,
    MODEL_ROLLOUTS,
    PODS,
    ROLLOUT_ACTIONS,
    ROLLOUT_REPORTS,
    Key,
    is_ours,
    key_of,
    kind_of,
)
from modelrollout.controller.observe import Seen, warm_up_subject
from modelrollout.controller.references import References
from modelrollout.controller.refusals import Refusal, Refusals
from modelrollout.controller.reporting import Reports
from modelrollout.controller.writing import Writer
from modelrollout.engine.effects import (
    AddFinalizer,
    AnswerAction,
    ApplyBudgets,
    ApplyServices,
    ApplyWorkload,
    Effect,
    Emit,
    Forget,
    HandOver,
    Release,
    RemoveFinalizer,
    ScaleWorkload,
    SetTraffic,
    WarmUp,
    WriteReport,
    WriteStatus,
)
from modelrollout.traffic.router import router_for
from modelrollout.workloads import budgets, deployment, release, services, warm_up


@dataclass(kw_only=True)
class Outcome:
    """What came of the effects of one decision."""

    status: ModelRolloutStatus
    """The status that was decided."""
    status_stands: bool
    """Whether the cluster has it."""
    changed: bool = False
    """Something is different now, in the cluster or in what it refuses, so there may be more to do at once."""
    traffic_moved_at: datetime | None = None
    """When the route was changed, if it was."""
    error: ApiError | None = None
    """Why the effects from some point on were not carried out."""
    again_at: datetime | None = None
    """When what was refused is tried again."""

    def wait_for(self, refusal: Refusal) -> None:
        """Of several refusals, the first that is tried again says when to come back."""
        self.again_at = min(self.again_at or refusal.again_at, refusal.again_at)


class Applier:
    """Writes for one rollout at a time; different rollouts may be written at once."""

    def __init__(
        self,
        api: KubeApi,
        *,
        informers: Informers,
        events: EventRecorder,
        warm_ups: Background[str],
        refusals: Refusals,
        references: References,
        reports: Reports,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._informers = informers
        self._events = events
        self._warm_ups = warm_ups
        self._refusals = refusals
        self._references = references
        self._reports = reports
        self._now = now
        self._attempts = Attempts(api, informers)
        self._writer = Writer(api, informers)

    async def carry_out(self, seen: Seen, effects: Sequence[Effect]) -> Outcome:
        """Carry effects out until one fails; its error is in the outcome.

        What is deleted with its namespace is let go at the first sign of that: nothing done for it would last, and the
        namespace waits for it.
        """
        written = next((effect.status for effect in effects if isinstance(effect, WriteStatus)), None)
        outcome = Outcome(status=written or seen.snapshot.status, status_stands=written is None)
        for position, effect in enumerate(effects):
            outcome.error = await self._attempt(seen, effect, outcome)
            if _goes_with_namespace(seen, outcome.error):
                outcome.error = await self._attempt(seen, RemoveFinalizer(), outcome)
                break
            if outcome.error:
                await self._report_all_the_same(seen, effects[position + 1 :], outcome)
                break
        if outcome.status_stands and outcome.status.phase is not Phase.PREPARING:
            self._warm_ups.forget(seen.key)
        return outcome

    async def _report_all_the_same(self, seen: Seen, rest: Sequence[Effect], outcome: Outcome) -> None:
        """What failed must not keep people from hearing of it.

        A route that is refused may go on being refused, and the status behind it says so. Writing it early is safe:
        where the route is written first, it is to take requests away, and it comes first until they are away.
        """
        status = [effect for effect in rest if isinstance(effect, WriteStatus)]
        if status and isinstance(outcome.error, RefusedError):
            await self._attempt(seen, status[0], outcome)
        if outcome.status_stands:
            self._tell(seen, rest, outcome)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._refusals.forget(key)
        self._warm_ups.forget(key)
        self._reports.forget(key)
        self._attempts.forget(key)
        self._writer.forget(key)

    def _tell(self, seen: Seen, effects: Iterable[Effect], outcome: Outcome) -> None:
        """Events tell of the status that is written by now; the next decision will not say them again."""
        for effect in effects:
            if isinstance(effect, Emit):
                self._events.emit(seen.rollout.metadata, effect, attempt=outcome.status.attempt)

    async def _attempt(self, seen: Seen, effect: Effect, outcome: Outcome) -> ApiError | None:
        """Carry one effect out, unless the API server refused this very one a moment ago; returns why it failed."""
        refusal = self._refusals.still_refused(seen.key, effect=effect, generation=seen.snapshot.generation)
        if refusal:
            outcome.wait_for(refusal)
            return RefusedError(refusal.message)
        try:
            wrote = await self._one(seen, effect, outcome)
        except RefusedError as error:
            if not _goes_with_namespace(seen, error):
                self._note_refusal(seen, effect, error, outcome)
            return error
        except ApiError as error:
            return error
        outcome.changed |= self._refusals.clear(seen.key, effect=effect) or wrote
        outcome.status_stands |= isinstance(effect, WriteStatus)
        if isinstance(effect, SetTraffic) and wrote:
            outcome.traffic_moved_at = self._now()
        return None

    def _note_refusal(self, seen: Seen, effect: Effect, error: RefusedError, outcome: Outcome) -> None:
        """Say it in an event, unless a condition does: what is said of the route and the Services, until the end."""
        refusal, is_news = self._refusals.note(
            seen.key, effect=effect, generation=seen.snapshot.generation, message=str(error)
        )
        outcome.wait_for(refusal)
        outcome.changed |= is_news
        if is_news and (seen.snapshot.deleting or not isinstance(effect, SetTraffic | ApplyServices)):
            message = f"The API server refuses {type(effect).__name__}: {refusal.message}"
            event = Emit(type="Warning", reason="WriteRefused", message=message)
            self._events.emit(seen.rollout.metadata, event, attempt=outcome.status.attempt)

    async def _one(self, seen: Seen, effect: Effect, outcome: Outcome) -> bool:  # noqa: PLR0912 - one for each effect
        """Carry one effect out; true if it changed anything in the cluster."""
        match effect:
            case SetTraffic():
                return await self._set_traffic(seen, effect)
            case WriteStatus():
                return await self._write_status(seen, effect.status)
            case WriteReport():
                return await self._write_report(seen, effect)
            case ApplyServices():
                return await self._writer.apply(seen, services.render(seen.owner))
            case ApplyWorkload():
                return await self._writer.apply(seen, await self._attempts.manifests(seen, effect))
            case ScaleWorkload():
                return await self._scale(seen, effect)
            case HandOver():
                return await self._hand_over(seen, effect)
            case Forget():
                await self._writer.delete(self._attempts.left_of(seen, effect))
                return False
            case WarmUp():
                subject = warm_up_subject(effect.colour, effect.attempt, seen.snapshot.generation)
                self._warm_ups.ensure(seen.key, subject, lambda: self._warm_up(seen, effect))
                return False
            case ApplyBudgets():
                wrote = await self._writer.apply(seen, budgets.render(seen.owner))
                await self._writer.delete(budgets.leftovers(seen.owner, self._informers))
                return wrote
            case Emit():
                self._tell(seen, [effect], outcome)
                return False
            case AnswerAction():
                return await self._answer_action(seen, effect)
            case AddFinalizer():
                return await self._set_finalizers(seen, [*_finalizers(seen), FINALIZER])
            case Release():
                return await self._release(seen, effect)
            case RemoveFinalizer():
                return await self._set_finalizers(seen, [one for one in _finalizers(seen) if one != FINALIZER])

    async def _set_traffic(self, seen: Seen, effect: SetTraffic) -> bool:
        router = router_for(seen.spec)
        wrote = await self._writer.apply(seen, router.render(seen.owner, effect))
        await self._writer.delete(router.leftovers(seen.owner, self._informers))
        return wrote

    async def _scale(self, seen: Seen, effect: ScaleWorkload) -> bool:
        key = Key(seen.key.namespace, colour_name(seen.key.name, effect.colour))
        live = self._informers.get(DEPLOYMENTS.kind, *key)
        if live is None or live["spec"].get("replicas") == effect.replicas:
            return False
        changes = only_onto(live, {"metadata": {}, **deployment.scale(effect)})
        async with self._informers.refreshing(DEPLOYMENTS, key):
            self._informers.learn(await self._api.patch(DEPLOYMENTS, key, changes))
        return True

    async def _hand_over(self, seen: Seen, effect: HandOver) -> bool:
        """Scale down what is there now, not what was read last, unless it turns out to be another than that."""
        ref = seen.spec.workload_ref
        if ref is None:
            return False
        key = Key(seen.key.namespace, ref.name)
        live = await self._api.get(DEPLOYMENTS, key)
        is_the_same = (live["metadata"]["uid"], live["spec"].get("replicas", 1)) == (effect.uid, effect.desired)
        if not is_the_same or handed_over_to(live) == seen.owner.uid or is_ours(live):
            self._references.workloads.hear(DEPLOYMENTS, live)
            raise ConflictError(f"Deployment {key} has changed since it was looked at")
        answer = await self._api.patch(DEPLOYMENTS, key, only_onto(live, deployment.hand_over(seen.owner)))
        self._references.workloads.hear(DEPLOYMENTS, answer)
        return True

    async def _write_status(self, seen: Seen, status: ModelRolloutStatus) -> bool:
        manifest = {
            "apiVersion": API_VERSION,
            "kind": MODEL_ROLLOUTS.kind,
            "metadata": {**seen.key._asdict(), **seen_as(seen.rollout.metadata)},
            "status": status.to_wire(),
        }
        return await self._write_rollout(seen, self._api.replace_status(manifest))

    async def _answer_action(self, seen: Seen, effect: AnswerAction) -> bool:
        """Once answered it is not asked any more; one that is gone needs no answer."""
        key = Key(seen.key.namespace, effect.name)
        live = self._informers.get(ROLLOUT_ACTIONS.kind, *key)
        if live is None or live["metadata"]["uid"] != effect.uid:
            return False
        status = RolloutActionStatus(outcome=effect.outcome, message=effect.message, at=effect.at)
        manifest = {
            "apiVersion": API_VERSION,
            "kind": ROLLOUT_ACTIONS.kind,
            "metadata": key._asdict(),
            "status": status.to_wire(),
        }
        with suppress(ConflictError, NotFoundError):
            async with self._informers.refreshing(ROLLOUT_ACTIONS, key):
                self._informers.learn(await self._api.replace_status(only_onto(live, manifest)))
        return True

    async def _write_report(self, seen: Seen, effect: WriteReport) -> bool:
        """A report that is refused must not hold the deletion of the ModelRollout up."""
        try:
            await self._reports.write(seen.owner, effect)
        except RefusedError as error:
            if seen.snapshot.deleting and not isinstance(error, EndingNamespaceError):
                return False
            raise
        return True

    async def _set_finalizers(self, seen: Seen, finalizers: list[str]) -> bool:
        metadata = {"resourceVersion": seen.resource_version, "finalizers": finalizers}
        return await self._write_rollout(seen, self._api.patch(MODEL_ROLLOUTS, seen.key, {"metadata": metadata}))

    async def _write_rollout(self, seen: Seen, write: Awaitable[Live]) -> bool:
        """Take the answer in. A write that changes nothing leaves the resourceVersion as it is."""
        async with self._informers.refreshing(MODEL_ROLLOUTS, seen.key):
            answer = await write
        self._informers.learn(answer)
        return str(answer["metadata"]["resourceVersion"]) != seen.resource_version

    async def _release(self, seen: Seen, effect: Release) -> bool:
        """Disown and delete what is there now, not what was seen last: nothing destructive on an old view."""
        plan = release.plan(seen.owner, effect, [child async for child in self._children(seen)])
        for child, changes in plan.disown:
            self._informers.learn(await self._api.patch(kind_of(child), key_of(child), changes))
        await self._writer.delete(plan.delete)
        return bool(plan.disown or plan.delete)

    async def _children(self, seen: Seen) -> AsyncIterator[Live]:
        for kind in (*(kind for kind in CHILDREN if kind in self._informers.kinds), ROLLOUT_REPORTS):
            selector = f"{kind.selector},{NAME}={seen.key.name}"
            with suppress(NotFoundError):  # the cluster has no such kind
                async for page in self._api.pages(kind, namespace=seen.key.namespace, selector=selector):
                    for child in page.items:
                        yield child

    async def _warm_up(self, seen: Seen, effect: WarmUp) -> str:
        """What is wrong with the warm-up of a colour's ready pods; empty when all are warm."""
        wanted = seen.spec.warm_up
        if wanted is None:
            return ""
        labels = {**serving_selector(seen.key.name, effect.colour), ATTEMPT: str(effect.attempt)}
        selector = ",".join(f"{label}={value}" for label, value in labels.items())
        pages = self._api.pages(PODS, namespace=seen.key.namespace, selector=selector)
        try:
            pods = [pod async for page in pages for pod in page.items]
            targets = warm_up.targets(pods, seen.spec.service)
        except (ApiError, ValueError) as error:
            return str(error)
        return await warm_up.warm_up(targets, wanted) if targets else "no ready pod was found"


def _goes_with_namespace(seen: Seen, error: ApiError | None) -> bool:
    return seen.snapshot.deleting and isinstance(error, EndingNamespaceError)


def _finalizers(seen: Seen) -> list[str]:
    return seen.rollout.metadata.get("finalizers") or []
