"""The Services of the colours, and what the deletion of a rollout leaves."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelrollout.api.attempt import AttemptRecord
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload, Release, SetTraffic
from modelrollout.records import report
from modelrollout.traffic.gateway_api import GatewayApi
from modelrollout.workloads import budgets, deployment, services
from modelrollout.workloads.release import plan
from support.rendering import Cluster, live, rollout

BLUE, GREEN = Colour.BLUE, Colour.GREEN
OTHER_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "someone", "uid": "uid-2"}


def children(subject: Rollout) -> list[dict[str, Any]]:
    """All objects of a rollout that routes by the Gateway API."""
    workloads = [
        deployment.render(subject, ApplyWorkload(colour=colour, attempt=1, revision="r", replicas=1))
        for colour in Colour
    ]
    traffic = GatewayApi().render(subject, SetTraffic(stable=BLUE, attempt=1))
    return [live(one) for one in (*workloads, *services.render(subject), *traffic, *budgets.render(subject))]


def names(objects: Any) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in objects}


def owned(**spec: Any) -> Rollout:
    routed = {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}
    return rollout(deletionPolicy="Delete", traffic=routed, **spec)


def test_each_colour_has_a_service_that_selects_its_pods() -> None:
    blue, green = services.render(rollout())
    assert blue["metadata"]["name"] == "fraud-blue"
    assert blue["spec"]["selector"] == {"modelrollout.io/name": "fraud", "modelrollout.io/colour": "blue"}
    assert green["metadata"]["name"] == "fraud-green"
    assert green["spec"]["selector"] == {"modelrollout.io/name": "fraud", "modelrollout.io/colour": "green"}


def test_the_pods_of_a_colour_are_those_that_its_service_selects() -> None:
    for service, colour in zip(services.render(rollout()), Colour, strict=True):
        effect = ApplyWorkload(colour=colour, attempt=1, revision="r", replicas=1)
        labels = deployment.render(rollout(), effect)["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_each_colour_has_a_budget_for_the_pods_of_its_service_if_the_spec_asks_for_one() -> None:
    subject = rollout(disruptionBudget={"maxUnavailable": "25%"})
    for budget, service in zip(budgets.render(subject), services.render(subject), strict=True):
        assert budget["metadata"]["name"] == service["metadata"]["name"]
        assert budget["spec"] == {
            "selector": {"matchLabels": service["spec"]["selector"]},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "maxUnavailable": "25%",
        }
    assert budgets.render(rollout()) == []


def test_budgets_go_when_the_spec_asks_for_none_any_more() -> None:
    subject = rollout(disruptionBudget={"minAvailable": 1})
    there = Cluster(*map(live, budgets.render(subject)))
    assert budgets.leftovers(subject, there) == []
    assert names(budgets.leftovers(rollout(), there)) == {
        ("PodDisruptionBudget", "fraud-blue"),
        ("PodDisruptionBudget", "fraud-green"),
    }


def test_the_budget_of_what_serves_stays_with_it() -> None:
    subject = owned(disruptionBudget={"maxUnavailable": 1})
    found = plan(subject, Release(keep=BLUE), children(subject))
    assert ("PodDisruptionBudget", "fraud-green") in names(found.delete)
    assert ("PodDisruptionBudget", "fraud-blue") in names(one for one, _ in found.disown)


def test_what_serves_stays_and_the_other_colour_goes() -> None:
    subject = owned()
    found = plan(subject, Release(keep=BLUE), children(subject))
    assert names(found.delete) == {("Deployment", "fraud-green")}
    assert names(one for one, _ in found.disown) == {
        ("Deployment", "fraud-blue"),
        ("Service", "fraud"),
        ("Service", "fraud-blue"),
        ("Service", "fraud-green"),
        ("HTTPRoute", "fraud"),
    }


def test_only_our_ownership_is_taken_off_and_only_off_the_object_that_was_looked_at() -> None:
    subject = owned()
    (service, *_) = services.render(subject)
    service["metadata"]["ownerReferences"].append(OTHER_OWNER)
    ((_, patch),) = plan(subject, Release(keep=BLUE), [live(service)]).disown
    assert patch == {"metadata": {"resourceVersion": "41", "ownerReferences": [OTHER_OWNER]}}


def test_what_nobody_owns_is_left_alone() -> None:
    subject = rollout(traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}})
    found = plan(subject, Release(keep=GREEN), children(subject))
    assert found.disown == ()
    assert names(found.delete) == {("Deployment", "fraud-blue")}


def test_an_object_of_an_older_rollout_of_the_same_name_is_left_to_its_owner() -> None:
    subject = owned()
    (service, *_) = services.render(subject)
    service["metadata"]["ownerReferences"] = [OTHER_OWNER]
    assert plan(subject, Release(keep=BLUE), [live(service)]).disown == ()


@pytest.mark.parametrize("keep", [None, BLUE])
def test_reports_stay_under_retain_and_go_under_delete(keep: Colour | None) -> None:
    record = AttemptRecord(attempt=1, version="1.0.0", started=datetime.now(UTC))
    kept, going = (
        plan(subject, Release(keep=keep), [live(report.render(owned(), record))])
        for subject in (rollout(deletionPolicy="Retain"), rollout(deletionPolicy="Delete"))
    )
    assert (len(kept.disown), kept.delete) == (1, ()), "it was made while the policy was Delete"
    assert (going.disown, len(going.delete)) == ((), 1)


def test_with_nothing_to_keep_everything_goes() -> None:
    subject = rollout(traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}})
    found = plan(subject, Release(keep=None), children(subject))
    assert names(found.delete) == names(children(subject))
    assert found.disown == ()
