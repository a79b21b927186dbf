"""The digits model on a bed, served by a ModelRollout in a namespace of its own."""

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Any, Self

import yaml
from kubernetes.client import ApiClient

from testbed import Bed, BedError
from traffic_client import Load
from traffic_client.pictures import pictures

from .evidence import Window
from .history import History, NotReachedError, Object, State
from .install import operator_log

NAME = "digits"
_MANIFEST = Path(__file__).parent / "manifests" / "digits.yaml"
_PROXIES = ("--namespace=envoy-gateway-system", "--selector=gateway.envoyproxy.io/owning-gateway-name=models")


def steps(*weights: int, hold: str, **more: Any) -> dict[str, Any]:
    """A canary that holds each weight for as long."""
    return {"canary": {"steps": [{"weight": weight, "hold": hold, **more} for weight in weights]}}


def steps_held(*steps: tuple[int, str]) -> dict[str, Any]:
    """A canary that holds each weight for a time of its own."""
    return {"canary": {"steps": [{"weight": weight, "hold": hold} for weight, hold in steps]}}


def digits(namespace: str, **spec: Any) -> Object:
    """The ModelRollout, with these fields of the spec instead of those of the manifest; None leaves one out."""
    picture = ", ".join(map(str, pictures()[0]))
    text = Template(_MANIFEST.read_text()).substitute(host=host_of(namespace), picture=picture)
    rollout: Object = yaml.safe_load(text)
    rollout["metadata"]["namespace"] = namespace
    written = {**rollout["spec"], **deepcopy(spec)}
    rollout["spec"] = {field: value for field, value in written.items() if value is not None}
    return rollout


def host_of(namespace: str) -> str:
    """The host name by which the Gateway finds the model of a namespace."""
    return f"{namespace}.example.com"


class Served:
    """Applies, watches and asks one model; a `with` makes its namespace and removes it."""

    def __init__(self, bed: Bed, client: ApiClient, namespace: str, *, leave: bool = False, **spec: Any) -> None:
        """`spec` is what differs from the manifest; `leave` keeps the namespace, for people to look at."""
        self.bed = bed
        self.namespace = namespace
        self._leave = leave
        self._rollout = digits(namespace, **spec)
        self.history = History(client, group="modelrollout.io", version="v1alpha1", plural="modelrollouts", **self._key)
        self.route = History(client, group="gateway.networking.k8s.io", version="v1", plural="httproutes", **self._key)
        self._open = ExitStack()

    @property
    def _key(self) -> dict[str, Any]:
        return {"namespace": self.namespace, "name": NAME}

    @property
    def status(self) -> Object:
        """The status as last heard of."""
        return status_of(self.history.latest)

    def __enter__(self) -> Self:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.bed.apply(json.dumps(namespace))
        if not self._leave:
            self._open.callback(self.bed.kubectl, "delete", "namespace", self.namespace, "--wait=false")
        self._open.enter_context(self.history)
        self._open.enter_context(self.route)
        self.bed.apply(json.dumps(self._rollout))
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._open.close()

    def set(self, **spec: Any) -> None:
        """Change fields of the spec; None takes one away."""
        self.kubectl("patch", "modelrollout", NAME, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def roll_out(self, version: str) -> None:
        """Ask for a version of the model, as a user does."""
        self.set(model={"version": version})

    def kubectl(self, *args: str) -> str:
        """Run kubectl in the namespace."""
        return self.bed.kubectl(f"--namespace={self.namespace}", *args)

    def load(
        self,
        *,
        rate: float,
        requests: int,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        through_gateway: bool = True,
    ) -> Load:
        """Requests to the model; without a gateway each has a connection of its own, as a Service spreads those."""
        url = self.gateway_url() if through_gateway else self.service_url()
        return Load(
            f"{url}/v2/models/{NAME}/infer",
            host=host_of(self.namespace) if through_gateway else "",
            headers=headers,
            rate=rate,
            requests=requests,
            seconds=seconds,
            keep_alive=through_gateway,
        )

    def service_url(self) -> str:
        """Where the Service listens; it comes right after the status that tells of its version."""
        self.kubectl("wait", "--for=create", f"service/{NAME}", "--timeout=30s")
        return self.bed.service_url(self.namespace, NAME, 80)

    def gateway_url(self) -> str:
        """Where the proxy listens, for requests with `host_of` the namespace as their host."""
        (proxy,) = self.bed.get("services", *_PROXIES)["items"]
        return self.bed.service_url(proxy["metadata"]["namespace"], proxy["metadata"]["name"], 80)

    def wait(self, reached: Callable[[Object], bool], *, what: str, timeout: float) -> State:
        """The first state whose status is so; a failure shows what went on."""
        try:
            return self.history.wait(lambda found: reached(status_of(found)), what=what, timeout=timeout)
        except NotReachedError as error:
            raise NotReachedError(f"{error}\n{self.diagnosis()}") from error

    def wait_serving(self, version: str, *, timeout: float = 120) -> State:
        """Until the version serves everything and nothing else is under way."""
        return self.wait(serves(version), what=f"version {version} serves", timeout=timeout)

    def wait_stage(self, version: str, name: str, *, timeout: float = 120) -> State:
        """Until a stage of the version has its traffic."""

        def arrived(status: Object) -> bool:
            stage, candidate = status.get("stage") or {}, status.get("candidate") or {}
            return (candidate.get("version"), stage.get("name")) == (version, name) and "reachedAt" in stage

        return self.wait(arrived, what=f"traffic of stage {name} for version {version}", timeout=timeout)

    def wait_reverted(self, version: str, *, timeout: float = 120) -> State:
        """Until the version is taken back for good."""
        return self.wait(is_reverted(version), what=f"version {version} taken back", timeout=timeout)

    def wait_taken_back(self, version: str, *, timeout: float = 120) -> State:
        """Until the version has no requests any more, be it that its pods still finish answers."""

        def left(status: Object) -> bool:
            taken_back = (status.get("lastRevert") or {}).get("version") == version
            return taken_back and status["weights"]["observed"] == 0

        return self.wait(left, what=f"version {version} without requests", timeout=timeout)

    def wait_for_requests(self, load: Load, count: int, *, sent_after: float = 0.0, timeout: float = 120) -> None:
        """`Load.wait_for`; a failure shows what went on."""
        try:
            load.wait_for(count, sent_after=sent_after, timeout=timeout)
        except TimeoutError as error:
            raise NotReachedError(f"{error}\n{self.diagnosis()}") from error

    def windows(self) -> list[Window]:
        """The weights that the HTTPRoute has given the candidate, each with its time; the last one lasts until now."""
        weights = ((state.at, candidate_weight(state.object)) for state in self.route.states)
        return _windows((at, weight) for at, weight in weights if weight is not None)

    def stages(self, version: str) -> list[Window]:
        """The weights that the stages of a version declare, each from when the status named the stage."""

        def declared(status: Object) -> float:
            ours = (status.get("candidate") or {}).get("version") == version
            return float(status["stage"]["weight"]) if ours and status.get("stage") else 0.0

        weights = ((state.at, declared(status_of(state.object))) for state in self.history.states)
        return [window for window in _windows(weights) if window.weight]

    def diagnosis(self) -> str:
        """What a person would look at: the status, events, pods and the operator's log."""
        looks: Sequence[tuple[str, ...]] = (
            ("get", "modelrollout", NAME, "-o", "yaml", "--show-managed-fields=false"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("get", "pods,services,endpointslices,httproutes", "-o", "wide"),
        )
        told = [f"$ kubectl {' '.join(look)}\n{_or_error(self.kubectl, *look)}" for look in looks]
        return "\n".join([*told, f"the operator's log:\n{operator_log(self.bed)}"])


Serve = Callable[..., Served]
"""Makes a `Served` from a name and what its spec differs in."""


def status_of(rollout: Object | None) -> Object:
    """The status, empty as long as there is none."""
    return dict((rollout or {}).get("status") or {})


def serves(version: str) -> Callable[[Object], bool]:
    """Whether a status says that the version serves everything and nothing else is under way."""

    def does(status: Object) -> bool:
        stable = status.get("stable") or {}
        return status.get("phase") == "Idle" and stable.get("version") == version and is_true(status, "Ready")

    return does


def is_reverted(version: str) -> Callable[[Object], bool]:
    """Whether a status says that the version was taken back and is not tried again."""

    def does(status: Object) -> bool:
        return status.get("phase") == "Reverted" and status["lastRevert"]["version"] == version

    return does


def condition(status: Mapping[str, Any], kind: str) -> Object:
    """A condition of the status; empty while there is none."""
    return next((one for one in status.get("conditions") or [] if one["type"] == kind), {})


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition is True."""
    return bool(condition(status, kind).get("status") == "True")


def candidate_weight(route: Object | None) -> float | None:
    """Per cent, to a hundredth, that go to the backend marked as the candidate; None without a route."""
    if route is None:
        return None
    for backend in route["spec"]["rules"][0]["backendRefs"]:
        headers = backend["filters"][0]["responseHeaderModifier"]["set"]
        if headers[0]["value"] == "candidate":
            return round(int(backend["weight"]) / 10_000, 2)
    return 0.0


def _windows(weights: Iterable[tuple[float, float]]) -> list[Window]:
    """From moments and the weight since each; the last window lasts until now."""
    changes: list[tuple[float, float]] = []
    for at, weight in weights:
        if not changes or changes[-1][1] != weight:
            changes.append((at, weight))
    ends = [at for at, _ in changes[1:]] + [float("inf")]
    return [Window(at, end, weight) for (at, weight), end in zip(changes, ends, strict=True)]


def _or_error(run: Callable[..., str], *args: str) -> str:
    try:
        return run(*args)
    except (BedError, subprocess.SubprocessError) as error:
        return str(error)
