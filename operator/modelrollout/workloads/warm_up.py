"""Warm-up: requests that make a pod compile, page in and fill its caches before it gets traffic. Ready is not warm."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from modelrollout.api.objects import Live
from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import Service, WarmUp

_PODS_AT_ONCE = 32
_ASK_AGAIN = frozenset({408, 425, 429})
"""Client errors that say to come back; others say that the request itself is wrong."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A pod to warm up, and where it listens."""

    pod: str
    ip: str
    port: int

    @property
    def origin(self) -> str:
        host = f"[{self.ip}]" if ip_address(self.ip).version == 6 else self.ip
        return f"http://{host}:{self.port}"


class _NotYetError(Exception):
    """The pod gave no usable answer; another try may get one."""


class _RefusedError(Exception):
    """The pod says that the request is wrong; asking again gets the same answer."""


def targets(pods: Iterable[Live], service: Service) -> list[Target]:
    """The ready pods, and the port of each that `spec.service.targetPort` means.

    Raises:
        ValueError: a pod has no port of that name; the text names the pod and the ports it has.
    """
    return [
        Target(pod=pod["metadata"]["name"], ip=pod["status"]["podIP"], port=_port_of(pod, service.target_port))
        for pod in pods
        if _is_ready(pod)
    ]


async def warm_up(pods: Iterable[Target], wanted: WarmUp) -> str:
    """Send every pod the requests that the spec asks for, one after another, until enough of them have succeeded.

    Failed requests are sent again for as long as all the answers may take together, `requests` times `timeout`.

    Returns:
        Which pods failed and how they answered last; empty when all are warm.
    """
    at_once = asyncio.Semaphore(_PODS_AT_ONCE)
    # Pods are inside the cluster: a proxy from the environment has no business in between. `_ask` limits each request.
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113

        async def one(target: Target) -> str:
            async with at_once:
                return await _warm_pod(client, target, wanted)

        problems = await asyncio.gather(*(one(target) for target in pods))
    return "; ".join(problem for problem in problems if problem)


async def _warm_pod(client: httpx.AsyncClient, target: Target, wanted: WarmUp) -> str:
    """What is wrong with one pod; empty when it is warm."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + wanted.requests * parse_duration(wanted.timeout).total_seconds()
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_NotYetError),
        stop=lambda _: clock() >= deadline,
        wait=wait_exponential(multiplier=0.1, max=5),
        reraise=True,
    )
    for number in range(1, wanted.requests + 1):
        try:
            await retrying(_ask, client, target, wanted)
        except (_NotYetError, _RefusedError) as error:
            asked = f"{wanted.method} {target.origin}{wanted.path}"
            return f"pod {target.pod}, warm-up request {number} of {wanted.requests}: {asked}: {error}"
    return ""


async def _ask(client: httpx.AsyncClient, target: Target, wanted: WarmUp) -> None:
    """One request. Redirects are not followed: another address would warm another pod."""
    try:
        async with asyncio.timeout(parse_duration(wanted.timeout).total_seconds()):
            answer = await client.request(
                wanted.method,
                target.origin + wanted.path,
                content=wanted.body or None,
                headers={"content-type": wanted.content_type} if wanted.body else None,
            )
    except TimeoutError as error:
        raise _NotYetError(f"no answer within {wanted.timeout}") from error
    except httpx.HTTPError as error:
        raise _NotYetError(str(error) or type(error).__name__) from error
    if answer.is_success:
        return
    said = f"{answer.status_code} {answer.reason_phrase}"
    if answer.is_server_error or answer.status_code in _ASK_AGAIN:
        raise _NotYetError(said)
    raise _RefusedError(said)


def _is_ready(pod: Live) -> bool:
    """Ready and not on its way out."""
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _port_of(pod: Live, target_port: int | str) -> int:
    """The number of a port that may be given by name, as the Service resolves it."""
    if isinstance(target_port, int):
        return target_port
    ports = [port for container in _serving_containers(pod) for port in container.get("ports") or []]
    for port in ports:
        if port.get("name") == target_port:
            return int(port["containerPort"])
    known = ", ".join(port["name"] for port in ports if port.get("name")) or "none with a name"
    raise ValueError(
        f"spec.service.targetPort is {target_port!r}, but pod {pod['metadata']['name']} has no port of that name; "
        f"its ports: {known}"
    )


def _serving_containers(pod: Live) -> list[dict[str, Any]]:
    """Containers that run while the pod serves: init containers only when they are sidecars."""
    spec = pod["spec"]
    sidecars = [one for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    return [*spec["containers"], *sidecars]
