"""What deleting a ModelRollout leaves: under Retain everything that serves, owned by nobody."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modelrollout.api.labels import colour_name
from modelrollout.api.objects import Live
from modelrollout.api.owner import Rollout
from modelrollout.api.spec import DeletionPolicy
from modelrollout.engine.effects import Release


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do with the objects of a rollout before it goes: first `disown`, then `delete`."""

    disown: tuple[tuple[Live, dict[str, Any]], ...]
    """Objects that stay, each with the JSON merge patch that takes our ownership off it and nothing else."""
    delete: tuple[Live, ...]
    """Objects that go. Those not named in either list stay as they are."""


def plan(rollout: Rollout, effect: Release, objects: Iterable[Live]) -> Plan:
    """Keep what serves and delete the other colour's pods and budget; with nothing to keep, everything goes.

    Reports are evidence, and stay under Retain even when there is nothing else to keep.

    Both Services stay: a route that refers to a Service which is gone is no longer whole, even where its weight is 0.

    Args:
        objects: Deployments, Services, routes, budgets and reports of this rollout as they are now. The patches hold
            only for these very versions of them, since a merge patch replaces the whole list of owners.
    """
    present = tuple(objects)
    going = tuple(one for one in present if _goes(rollout, effect, one))
    staying = (one for one in present if one not in going)
    owned = (one for one in staying if rollout.uid in _owners(one))
    return Plan(disown=tuple((one, _without_owner(one, rollout.uid)) for one in owned), delete=going)


def _goes(rollout: Rollout, effect: Release, one: Live) -> bool:
    if one["kind"] == "RolloutReport":
        return rollout.spec.deletion_policy is DeletionPolicy.DELETE
    if effect.keep is None:
        return True
    is_parked = one["metadata"]["name"] == colour_name(rollout.name, effect.keep.other)
    return is_parked and one["kind"] in ("Deployment", "PodDisruptionBudget")


def _owners(live: Live) -> set[str]:
    return {owner["uid"] for owner in live["metadata"].get("ownerReferences") or []}


def _without_owner(live: Live, uid: str) -> dict[str, Any]:
    metadata = live["metadata"]
    others = [owner for owner in metadata["ownerReferences"] if owner["uid"] != uid]
    return {"metadata": {"resourceVersion": metadata["resourceVersion"], "ownerReferences": others}}
