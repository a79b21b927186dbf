"""Tells Prometheus which pods to scrape: Debian builds it without its own discovery of Kubernetes.

The rule, for pods of models and for the operator alike: every container port named `metrics` is scraped, at /metrics.
Proxies of Envoy Gateway are scraped where Envoy Gateway says, at port 19001. Samples carry the namespace, the pod, and
the pod's labels of modelrollout.io with a name that Prometheus allows, such as `modelrollout_io_colour`.
"""

import json
import re
import ssl
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

JOBS = ("models", "operator", "envoy")
_OURS = "modelrollout.io/"
_NEVER_LONGER = 300
_RETRY_SECONDS = 0.5

Pod = dict[str, Any]


def groups(pods: Iterable[Pod]) -> dict[str, list[dict[str, Any]]]:
    """For each job, its targets as Prometheus reads them from a file."""
    found: dict[str, list[dict[str, Any]]] = {job: [] for job in JOBS}
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"])):
        job, ports = _job_and_ports(pod)
        address = pod.get("status", {}).get("podIP")
        if job and ports and address and pod["status"].get("phase") == "Running":
            found[job].append({"targets": [f"{address}:{port}" for port in ports], "labels": _labels(pod)})
    return found


def _job_and_ports(pod: Pod) -> tuple[str | None, list[int]]:
    labels = pod["metadata"].get("labels", {})
    declared = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    named = [port["containerPort"] for port in declared if port.get("name") == "metrics"]
    if f"{_OURS}name" in labels:
        return "models", named
    if labels.get("app.kubernetes.io/name") == "modelrollout":
        return "operator", named
    if labels.get("app.kubernetes.io/managed-by") == "envoy-gateway":
        return "envoy", [port["containerPort"] for port in declared if port["containerPort"] == 19001]
    return None, []


def _labels(pod: Pod) -> dict[str, str]:
    metadata = pod["metadata"]
    ours = {
        re.sub(r"\W", "_", name): value for name, value in metadata.get("labels", {}).items() if name.startswith(_OURS)
    }
    return {**ours, "namespace": metadata["namespace"], "pod": metadata["name"]}


def follow(api_url: str, certificate: str, token: str, folder: Path) -> None:
    """Follow the pods of a cluster for as long as the bed lives, whatever becomes of the API server."""
    written: dict[str, str] = defaultdict(str)
    client = httpx.Client(
        base_url=api_url,
        verify=ssl.create_default_context(cafile=certificate),
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=httpx.Timeout(10, read=_NEVER_LONGER + 10),
    )
    while True:
        try:
            for pods in _views(client):
                for job, content in groups(pods).items():
                    text = json.dumps(content, indent=1)
                    if text != written[job]:
                        new = folder / f"{job}.new"
                        new.write_text(text)
                        new.rename(folder / f"{job}.json")
                        written[job] = text
        except (httpx.HTTPError, OSError, ValueError) as error:  # ValueError: what came is no JSON
            print(f"asking again: {error!r}", file=sys.stderr, flush=True)
            time.sleep(_RETRY_SECONDS)


def _views(client: httpx.Client) -> Iterator[list[Pod]]:
    """All pods, again after each change, until the API server ends the watch."""
    listed = client.get("/api/v1/pods").raise_for_status().json()
    pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
    yield list(pods.values())
    since = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": _NEVER_LONGER}
    with client.stream("GET", "/api/v1/pods", params=since) as changes:
        changes.raise_for_status()
        for line in changes.iter_lines():
            change = json.loads(line)
            if change["type"] == "ERROR":
                return
            uid = change["object"]["metadata"]["uid"]
            if change["type"] == "DELETED":
                pods.pop(uid, None)
            else:
                pods[uid] = change["object"]
            yield list(pods.values())


if __name__ == "__main__":
    url, authority, token_file, target = sys.argv[1:]
    follow(url, authority, Path(token_file).read_text(), Path(target))
