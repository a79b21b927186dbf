"""Labels, annotations and names that tie the operator's objects and their metrics to a rollout.

The pod labels reach Prometheus through the scrape configuration (a PodMonitor's `podTargetLabels`, or a `labelmap`),
where `modelrollout.io/name` reads `modelrollout_io_name`.
"""

from modelrollout.api.base import GROUP
from modelrollout.api.objects import Live
from modelrollout.api.status import Colour

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "modelrollout"
"""Value of MANAGED_BY, name of the field manager, and so the only writer of what the operator owns."""

NAME = f"{GROUP}/name"
COLOUR = f"{GROUP}/colour"
ATTEMPT = f"{GROUP}/attempt"
VERSION = f"{GROUP}/version"
REVISION = f"{GROUP}/revision"
COPIES = f"{GROUP}/copies"
"""Annotation of the record of an attempt: the copies that its pods need."""
GRACE = f"{GROUP}/grace-period"
"""Annotation of a Deployment: seconds that its pods get at least to end, as of when they were first rendered."""

FINALIZER = f"{GROUP}/release"


def colour_name(rollout: str, colour: Colour) -> str:
    """Name of the Deployment and of the Service of one colour."""
    return f"{rollout}-{colour}"


def record_name(rollout: str, attempt: int) -> str:
    """Name of the ControllerRevision that says what an attempt ran."""
    return f"{rollout}-{attempt}"


def attempt_of(live: Live) -> int:
    """The attempt that an object is labelled with; 0 without one."""
    attempt = (live["metadata"].get("labels") or {}).get(ATTEMPT, "")
    return int(attempt) if attempt.isdecimal() else 0


def serving_selector(rollout: str, colour: Colour | None) -> dict[str, str]:
    """Pod selector of one colour, or of both."""
    selector = {NAME: rollout}
    return selector | {COLOUR: colour.value} if colour else selector
