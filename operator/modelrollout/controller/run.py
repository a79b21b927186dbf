"""The operator as a process: puts the parts together, starts them, and ends them in order."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import kopf

from modelrollout import __version__
from modelrollout.api.labels import MANAGER
from modelrollout.controller import alert_endpoint, handlers, health
from modelrollout.controller.alerts import AlertBoard
from modelrollout.controller.apply import Applier
from modelrollout.controller.background import Background
from modelrollout.controller.client import KubeApi, connect
from modelrollout.controller.crashes import Crashes
from modelrollout.controller.events import EventRecorder
from modelrollout.controller.informers import Informers
from modelrollout.controller.judging import Judging, MeasuredSource
from modelrollout.controller.kinds import COPIED, Key
from modelrollout.controller.leadership import Leadership
from modelrollout.controller.observe import Observer
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.pods import ListedPods
from modelrollout.controller.queue import Priority, WorkQueue
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.controller.reconcile import Reconciler
from modelrollout.controller.references import References
from modelrollout.controller.refusals import Refusals
from modelrollout.controller.reporting import Reports
from modelrollout.controller.settings import Settings
from modelrollout.engine.decide import decide
from modelrollout.engine.snapshot import Obstacle
from modelrollout.metrics.prometheus import Prometheus
from modelrollout.metrics.scrapes import Scraper
from modelrollout.traffic.router import router_for

_log = logging.getLogger(__name__)

_LAST_WRITES = 20.0
"""Seconds that effects under way may still take when the process is told to end.

With the events and the Lease it may take 28; the chart has Kubernetes wait for 40 before it kills.
"""
_LAST_EVENTS = 3.0


async def run(settings: Settings) -> int:
    """Run the operator until it is told to end; returns the exit status of the process.

    It is not 0 when a part ended by itself: a watch that cannot be kept, an error of ours, or a Lease that was lost.
    Kubernetes then starts the process again, which is safer than going on without that part, and safer than to stand by
    with what is left over from leading.
    """
    _log.info("modelrollout-operator %s starts", __version__)
    metrics = OwnMetrics()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connect(on_answer=metrics.count_answer))
        leadership = _leadership(settings, api)
        if leadership:
            api = api.writing_while(leadership.leads)
        operator = Operator(settings, api, metrics, leadership)
        watches = await stack.enter_async_context(_watches(operator.informers, settings.namespaces))
        stop = _told_to_end()
        await stack.enter_async_context(operator.serving())
        return await operator.run(watches, stop)


class Operator:
    """The parts of the operator, wired."""

    def __init__(
        self, settings: Settings, api: KubeApi, metrics: OwnMetrics, leadership: Leadership | None = None
    ) -> None:
        """`leadership` is None when there is no other operator."""
        self._settings = settings
        self._metrics = metrics
        self._leadership = leadership
        self._acts = asyncio.Event()
        """It is, or has been, this process's turn."""
        if leadership is None:
            self._acts.set()
        self._is_working = False
        metrics.watch_leading(leadership.leads if leadership else self._acts.is_set)
        self._queue: WorkQueue[Key] = WorkQueue()
        metrics.watch_queue(lambda: len(self._queue))
        self._warm_ups: Background[str] = Background(self._queue, done=lambda problem: not problem)
        self._preflights: Background[tuple[Obstacle, ...]] = Background(
            self._queue, done=lambda obstacles: not obstacles
        )
        self.informers = Informers(
            api,
            namespaces=settings.namespaces,
            enqueue=self._enqueue,
            metrics=metrics,
            copy_secrets=settings.copy_secrets,
        )
        self._crashes = Crashes(api, informers=self.informers, queue=self._queue, now=_now)
        self._references = References(
            api,
            copied=tuple(kind for kind in COPIED.values() if kind in self.informers.kinds),
            namespaces=settings.namespaces,
            queue=self._queue,
            enqueue=self._enqueue,
            resync=settings.resync,
        )
        self._alerts = AlertBoard(enqueue=self._enqueue, now=_now)
        readings = ReadingsBoard(enqueue=self._enqueue, metrics=metrics)
        self._prometheus = {access.name: Prometheus(access) for access in settings.prometheus}
        sources = {name: MeasuredSource(source, metrics, name) for name, source in self._prometheus.items()}
        self._scraper = Scraper(ListedPods(api, self.informers), on_answer=metrics.time_scrape)
        self._judging = Judging(
            sources,
            controllers=lambda rollout: router_for(rollout.spec).controllers(rollout, self.informers),
            readings=readings,
            interval=settings.poll_interval,
            scraper=self._scraper,
            now=_now,
        )
        self._events = EventRecorder(api, instance=os.uname().nodename, metrics=metrics)
        self._reconciler = self._wired(api, readings)
        self._health = health.Health(
            oldest_wait=self._queue.oldest_wait,
            poller_is_stuck=self._judging.is_stuck,
            resync=settings.resync,
            now=_now,
        )

    def _wired(self, api: KubeApi, readings: ReadingsBoard) -> Reconciler:
        refusals, reports = Refusals(now=_now), Reports(api)
        return Reconciler(
            self._queue,
            observer=Observer(
                informers=self.informers,
                readings=readings,
                alerts=self._alerts,
                preflights=self._preflights,
                warm_ups=self._warm_ups,
                refusals=refusals,
                references=self._references,
                reports=reports,
                crashes=self._crashes,
                look_again=lambda key, after: self._queue.add_after(key, after.total_seconds()),
                now=_now,
            ),
            decide=decide,
            applier=Applier(
                api,
                informers=self.informers,
                events=self._events,
                warm_ups=self._warm_ups,
                refusals=refusals,
                references=self._references,
                reports=reports,
                now=_now,
            ),
            events=self._events,
            judge=self._judging,
            readings=readings,
            preflight=self._judging.preflight,
            preflights=self._preflights,
            metrics=self._metrics,
            now=_now,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer /metrics, /healthz and /readyz, and take alerts where that is asked for."""
        async with AsyncExitStack() as stack:
            health_served = health.serve(self._health, self._metrics, port=self._settings.metrics_port)
            port = await stack.enter_async_context(health_served)
            _log.info("serving /metrics, /healthz and /readyz on port %d", port)
            if self._settings.alerts:
                taken = alert_endpoint.serve(self._alerts, self._settings.alerts, now=_now)
                _log.info("taking alerts on port %d", await stack.enter_async_context(taken))
            yield

    async def run(self, watches: Collection[asyncio.Task[Any]], stop: asyncio.Event) -> int:
        """Work until `stop` is set or a part ends by itself, then finish what is under way.

        Nothing is finished after the Lease was lost: that is for whoever has it now.
        """
        stopping = asyncio.create_task(stop.wait(), name="signals")
        leading = _start(self._lead(), "leadership")
        helpers = {
            _start(self._events.run(), "events"),
            _start(self._judging.run(), "poller"),
            _start(self._references.copied.run(), "copied sources"),
            _start(self._references.workloads.run(), "named workloads"),
        }
        work = _start(self._work(), "workers")
        parts = {leading, work, *helpers, *watches}
        await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            _say_what_ended(parts)
        if leading.done():
            work.cancel()
        await self._finish(work)
        for task in (stopping, leading, *helpers):
            task.cancel()
        await asyncio.gather(stopping, leading, *helpers, return_exceptions=True)
        if self._leadership:
            await self._leadership.release()
        return 0 if stop.is_set() else 1

    async def _work(self) -> None:
        """List everything, wait until it is this process's turn, then work, and list again from time to time.

        What cannot list does not stand for election: it would keep the Lease from an operator that can.
        """
        await self._list()
        _log.info("ready: %d rollouts", len(self.informers.rollouts))
        async with asyncio.TaskGroup() as tasks:
            resync = tasks.create_task(self._resync(), name="resync")
            if self._leadership:
                await self._take_over(self._leadership)
            self._is_working = True
            for number in range(self._settings.workers):
                tasks.create_task(self._reconciler.work(), name=f"worker {number}")
            await self._queue.closed()
            resync.cancel()

    async def _take_over(self, leadership: Leadership) -> None:
        """Become the one that acts, once everything is listed again.

        The watches may not have told yet what the one before has written last.
        """
        await leadership.gain()
        self._acts.set()
        await self._list()
        for key in self.informers.rollouts:
            self._queue.add(key, priority=Priority.SWEEP)

    async def _lead(self) -> None:
        """Ends when this process may not act any more."""
        await self._acts.wait()
        if self._leadership:
            await self._leadership.keep()
        else:
            await asyncio.Event().wait()

    async def _list(self) -> None:
        await self.informers.list_all()
        self._health.listed()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync.total_seconds())
            await self._list()

    async def _finish(self, work: asyncio.Task[None]) -> None:
        """Take no more rollouts up, and let the effects that are under way be carried out."""
        self._queue.close()
        if self._is_working:
            await asyncio.wait({work}, timeout=_LAST_WRITES)
        work.cancel()
        beside = (self._warm_ups.close(), self._preflights.close(), self._crashes.close())
        await asyncio.gather(work, *beside, return_exceptions=True)
        await self._events.drain(seconds=_LAST_EVENTS)
        await self._scraper.close()
        for prometheus in self._prometheus.values():
            prometheus.close()

    def _enqueue(self, key: Key, priority: Priority) -> None:
        """A process that stands by looks at nothing, and at everything when its turn has come."""
        if self._acts.is_set():
            self._queue.add(key, priority=priority)


def _leadership(settings: Settings, api: KubeApi) -> Leadership | None:
    if settings.lease is None:
        return None
    return Leadership(api, settings.lease, instance=os.uname().nodename, duration=settings.lease_duration)


@asynccontextmanager
async def _watches(informers: Informers, namespaces: tuple[str, ...]) -> AsyncIterator[Collection[asyncio.Task[Any]]]:
    """kopf's tasks, which keep the watches while the context lasts. None of them ends by itself unless it fails."""
    stop = asyncio.Event()
    tasks = await kopf.spawn_tasks(
        registry=handlers.registry(informers.kinds, informers.on_event),
        settings=handlers.kopf_settings(informers.kinds, whole_cluster=not namespaces),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        # For kopf's peering, which is not used; left to itself it looks the user up, and a container may have none.
        identity=MANAGER,  # type: ignore[arg-type] # a NewType of str that kopf does not export
        stop_flag=stop,
    )
    try:
        yield tasks
    finally:
        stop.set()
        # What failed among them has been logged when it ended.
        with suppress(Exception):
            await kopf.run_tasks(tasks)


def _told_to_end() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, in place of kopf's handlers: our work ends before the watches do."""
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        _log.info("%s: finishing what is under way", number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    return stop


def _start(part: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(part, name=name)


def _say_what_ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        if task.done():
            error = None if task.cancelled() else task.exception()
            _log.critical("%s ended by itself; the process ends, to be started again", task.get_name(), exc_info=error)


def _now() -> datetime:
    return datetime.now(UTC)
