"""The Deployment of a colour, NAME-blue or NAME-green: rendered from what an attempt runs, read back as a Workload."""

from math import ceil
from typing import Any

from modelrollout.api.labels import (
    ATTEMPT,
    COLOUR,
    GRACE,
    REVISION,
    VERSION,
    attempt_of,
    colour_name,
    serving_selector,
)
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout
from modelrollout.api.quantities import parse_duration
from modelrollout.api.template import model_environment
from modelrollout.api.workload_ref import HANDED_OVER_TO
from modelrollout.engine.effects import ApplyWorkload, ScaleWorkload
from modelrollout.engine.snapshot import Workload
from modelrollout.workloads.revisions import Content, described
from modelrollout.workloads.shortage import over_quota

_NO_DEADLINE = 2**31 - 1
"""What Kubernetes takes for none: the engine keeps the deadline, which includes warming up and leaves pauses out."""

_STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "100%"}}
"""A candidate's colour has no traffic when its template is replaced. But a person may restart the colour that serves
(`kubectl rollout restart`), and then no pod may go before its successor is ready. All at once: models load slowly.
"""


_KUBERNETES_GRACE = 30
"""Seconds that a pod has to end when its template does not say. What it needs besides the answers under way."""


def render(
    rollout: Rollout, effect: ApplyWorkload, content: Content | None = None, live: Live | None = None
) -> Manifest:
    """The Deployment of one colour, with pods that run this content, or else what the present spec describes.

    What is rendered into the pod template must follow from what `engine.revision` hashes, or from what is `live`:
    anything else would restart the pods that serve.
    """
    content = content or described(rollout)
    identity = {ATTEMPT: str(effect.attempt), REVISION: effect.revision}
    selector = serving_selector(rollout.name, effect.colour)
    grace = _grace_period(rollout, effect, live)
    return rollout.manifest(
        "apps/v1",
        "Deployment",
        colour_name(rollout.name, effect.colour),
        labels={COLOUR: effect.colour.value} | identity,
        annotations={GRACE: str(grace)} if grace else None,
        spec={
            "replicas": effect.replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": _NO_DEADLINE,
            "strategy": _STRATEGY,
            "selector": {"matchLabels": selector},
            "template": _pod_template(content, labels=selector | identity, grace=grace),
        },
    )


def scale(effect: ScaleWorkload) -> dict[str, Any]:
    """JSON merge patch that changes the number of pods and nothing else: their template may be older than the spec."""
    return {"spec": {"replicas": effect.replicas}}


def hand_over(rollout: Rollout) -> Manifest:
    """JSON merge patch that scales a Deployment of somebody else to 0, and notes on it for whom."""
    return {"metadata": {"annotations": {HANDED_OVER_TO: rollout.uid}}, "spec": {"replicas": 0}}


def observe(deployment: Live) -> Workload:
    """What a Deployment shows. Of the ready pods, as many as may be of an older template are left out."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    labels = metadata.get("labels") or {}
    of_pods = spec["template"].get("metadata", {}).get("labels") or {}
    total, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    outdated = max(total - updated, 0)
    return Workload(
        revision=labels.get(REVISION, ""),
        attempt=attempt_of(deployment),
        version=of_pods.get(VERSION, ""),
        desired=spec.get("replicas", 1),
        ready=max(status.get("readyReplicas", 0) - outdated, 0),
        answering=status.get("readyReplicas", 0),
        settled=status.get("observedGeneration", 0) >= metadata.get("generation", 1),
        total=total,
        message=_complaint(status.get("conditions") or []),
        shortage=over_quota(status.get("conditions") or []),
    )


def _grace_period(rollout: Rollout, effect: ApplyWorkload, live: Live | None) -> int:
    """Seconds that the pods get at least to end; 0: as the template says.

    The spec says it when an attempt gets its pods. Those pods keep it: another one would restart them.
    """
    metadata = live["metadata"] if live else {}
    labels = metadata.get("labels") or {}
    if (labels.get(REVISION), labels.get(ATTEMPT)) == (effect.revision, str(effect.attempt)):
        kept = (metadata.get("annotations") or {}).get(GRACE, "")
        return int(kept) if kept.isdecimal() else 0
    longest = rollout.spec.service.longest_answer
    return ceil(parse_duration(longest).total_seconds()) + _KUBERNETES_GRACE if longest else 0


def _pod_template(content: Content, *, labels: dict[str, str], grace: int) -> dict[str, Any]:
    """The user's template with the operator's labels, and with the model in the environment of every container.

    Init containers get it too: fetching the model is often their job. Of two grace periods the longer one holds.
    """
    template = content.template
    metadata, pod = template.get("metadata") or {}, template["spec"]
    ours = labels | {VERSION: content.model["version"]}
    told = model_environment(content.model)
    environment = [{"name": name, "value": value} for name, value in told.items() if value]
    containers = {
        field: [_with_environment(container, environment) for container in pod[field]]
        for field in ("containers", "initContainers")
        if pod.get(field)
    }
    asked = pod.get("terminationGracePeriodSeconds", _KUBERNETES_GRACE)
    to_end = {"terminationGracePeriodSeconds": grace} if grace > asked else {}
    return {
        **template,
        "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **ours}},
        "spec": {**pod, **containers, **to_end},
    }


def _with_environment(container: dict[str, Any], environment: list[dict[str, str]]) -> dict[str, Any]:
    """Ours come first, so that the user's variables can refer to them as `$(MODEL_URI)`."""
    return {**container, "env": [*environment, *(container.get("env") or [])]}


def _complaint(conditions: list[dict[str, Any]]) -> str:
    """Why pods cannot be made, such as a quota or a security policy."""
    failures = (one for one in conditions if one["type"] == "ReplicaFailure" and one["status"] == "True")
    return next((one.get("message") or one.get("reason", "") for one in failures), "")
