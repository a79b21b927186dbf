"""A real admission webhook is slow to say yes to what the operator writes, or says nothing in time."""

import pytest

from faults.sampling import some
from faults.scene import Ground
from faults.stories import ON_THE_WAY, Story, named
from faults.telling import Told, look_back, set_up, tell
from support.admission_webhook import TIMEOUT, AdmissionWebhook


@pytest.mark.parametrize("story", some(ON_THE_WAY, 2), ids=named)
def test_every_write_takes_most_of_its_time(ground: Ground, story: Story) -> None:
    webhook = AdmissionWebhook(ground.bed, lambda _: 0.6 * TIMEOUT)
    told = _told_past(webhook, ground, story)
    ground.tally.add("writes admitted slowly", webhook.calls)
    assert webhook.calls >= 5
    assert not told.said


@pytest.mark.parametrize("story", some(ON_THE_WAY, 2), ids=named)
def test_some_writes_are_not_admitted_in_time(ground: Ground, story: Story) -> None:
    """The API server refuses those with a 500, and they are tried again."""
    webhook = AdmissionWebhook(ground.bed, lambda number: 2 * TIMEOUT if number % 3 == 0 else 0)
    told = _told_past(webhook, ground, story)
    ground.tally.add("writes not admitted in time", webhook.late)
    assert webhook.late >= 2
    assert not told.said


def _told_past(webhook: AdmissionWebhook, ground: Ground, story: Story) -> Told:
    with set_up(ground, story) as scene, webhook.asked(namespace=scene.rollout.namespace, user="operator"):
        tell(scene, story)
        return look_back(scene, story)
