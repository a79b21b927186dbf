"""ModelRollouts at moments that people look at: the status of each as the operator would have written it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from modelrollout.api.rollout import ModelRollout
from support.rollouts import Object, changed, valid

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def ago(**length: float) -> str:
    """A moment before NOW, as it is written."""
    return (NOW - timedelta(**length)).isoformat().replace("+00:00", "Z")


def told(kind: str, status: str, reason: str, message: str = "") -> Object:
    """A condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(hours=1)}


def _colour(colour: str, version: str, attempt: int, revision: str = "r1", **others: Any) -> Object:
    since = {"since": ago(days=3)} | others
    return {"colour": colour, "version": version, "revision": revision, "attempt": attempt, "warm": True, **since}


def in_canary_10(**others: Any) -> Object:
    """In the first stage, for twenty seconds of its minute."""
    return {
        "observedGeneration": 1,
        "phase": "Progressing",
        "attempt": 2,
        "version": "2.1.0",
        "stage": {
            "index": 0,
            "count": 2,
            "name": "canary-10",
            "weight": 10,
            "enteredAt": ago(seconds=25),
            "reachedAt": ago(seconds=20),
        },
        "weights": {"declared": 10, "reachable": 10, "observed": 9.5},
        "stable": _colour("blue", "2.0.0", 1),
        "candidate": _colour("green", "2.1.0", 2, "r2", since=ago(minutes=5), loadSeconds=31.2),
        "verdict": "Breach",
        "slos": [
            {"name": "errors", "verdict": "Pass", "reason": "WithinLimit", "value": 0.0012, "limit": 0.01}
            | {"samples": 1204, "at": ago(seconds=1)},
            {
                "name": "latency",
                "verdict": "Breach",
                "reason": "AboveLimit",
                "value": 0.071,
                "limit": 0.05,
                "samples": 900,
            }
            | {"message": "7.1 % of 900 requests were slower", "breaches": 2, "at": ago(seconds=1)},
            {"name": "drift", "verdict": "Inconclusive", "reason": "QueryEmpty", "message": "nothing came back"}
            | {"at": ago(seconds=1)},
        ],
        "replicas": 2,
        "readyReplicas": 2,
        "conditions": [
            told("Ready", "True", "Serving", "version 2.0.0 serves"),
            told("Progressing", "True", "Holding", "stage canary-10 holds until 2026-01-05 12:00:40Z"),
            told("Stalled", "False", "NoProblem"),
        ],
        **others,
    }


def taken_back(**others: Any) -> Object:
    """Back at stable, after an SLO was breached in the first stage; not tried again by itself."""
    message = "SLO errors breached 2 times in a row: 4.1 % of 900 requests failed"
    return {
        "observedGeneration": 1,
        "phase": "Reverted",
        "attempt": 2,
        "version": "2.0.0",
        "stable": _colour("blue", "2.0.0", 1),
        "lastRevert": {"version": "2.1.0", "attempt": 2, "fingerprint": "f", "stage": "canary-10"}
        | {"reason": "SLOBreached", "message": message, "at": ago(minutes=7)},
        "replicas": 2,
        "readyReplicas": 2,
        "conditions": [
            told("Ready", "False", "Reverted", "version 2.1.0 was taken back"),
            told("Progressing", "False", "Reverted"),
            told("Stalled", "True", "Reverted", f"version 2.1.0 was taken back: {message}"),
        ],
        **others,
    }


def promoted(**others: Any) -> Object:
    """What is asked for serves; the version before is still warm."""
    return {
        "observedGeneration": 1,
        "phase": "Idle",
        "attempt": 2,
        "version": "2.1.0",
        "stable": _colour("green", "2.1.0", 2, "r2", since=ago(minutes=10)),
        "previous": _colour("blue", "2.0.0", 1, since=ago(minutes=10)),
        "replicas": 2,
        "readyReplicas": 2,
        "conditions": [
            told("Ready", "True", "Serving", "version 2.1.0 serves"),
            told("Progressing", "False", "Serving", "version 2.0.0 stays warm in blue until 12:50:00Z"),
            told("Stalled", "False", "NoProblem"),
        ],
        **others,
    }


def seen(status: Object, changes: Object | None = None) -> ModelRollout:
    """A ModelRollout with that status, as a model."""
    metadata = {"name": "scorer", "namespace": "ml", "generation": 1, "creationTimestamp": ago(days=3)}
    return ModelRollout.model_validate(changed(valid(), changes or {}) | {"metadata": metadata, "status": status})
