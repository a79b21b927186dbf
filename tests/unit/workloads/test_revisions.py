"""The record of what an attempt ran."""

from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.engine.snapshot import Recorded
from modelrollout.workloads import deployment
from modelrollout.workloads.revisions import content_of, described, observe, render
from support.rendering import live, rollout, template

EFFECT = ApplyWorkload(colour=Colour.GREEN, attempt=3, revision="abc", replicas=4)


def test_a_record_reads_back_as_what_was_recorded() -> None:
    content = described(rollout())
    record = live(render(rollout(), EFFECT, content))
    assert observe(record) == (3, Recorded(revision="abc", version="2.1.0"))
    assert content_of(record) == content


def test_the_pods_of_a_record_are_those_of_the_spec_that_it_was_made_of() -> None:
    before, now = rollout(), rollout(model={"name": "other", "version": "3"}, template={"spec": {"containers": []}})
    recorded = content_of(render(before, EFFECT, described(before)))
    assert deployment.render(now, EFFECT, recorded) == deployment.render(before, EFFECT)


def test_a_record_is_named_after_its_attempt_and_belongs_to_nobody() -> None:
    record = render(rollout(deletionPolicy="Delete"), EFFECT, described(rollout()))
    assert (record["kind"], record["metadata"]["name"], record["revision"]) == ("ControllerRevision", "fraud-3", 3)
    assert record["metadata"]["ownerReferences"] == []
    assert record["data"]["template"] == template()
