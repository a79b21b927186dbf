"""A real admission webhook is slow to say yes to what the operator writes, or says nothing in time."""

import pytest

from faults.sampling import some
from faults.scene import Ground
from faults.stories import ABORTED, ASKED, DELETED, GRADUAL, PROMOTED, REVERTED, SUPERSEDED, Story, named
from faults.telling import look_back, set_up, tell
from support.admission_webhook import TIMEOUT, AdmissionWebhook

STORIES = (PROMOTED, REVERTED, ABORTED, GRADUAL, SUPERSEDED, DELETED, ASKED)


@pytest.mark.parametrize("story", some(STORIES, 2), ids=named)
def test_every_write_takes_most_of_its_time(ground: Ground, story: Story) -> None:
    webhook = AdmissionWebhook(lambda _: 0.6 * TIMEOUT)
    with set_up(ground, story) as scene, webhook.asked(ground.bed, namespace=scene.rollout.namespace, user="operator"):
        tell(scene, story)
        told = look_back(scene, story)
    ground.tally.add("writes admitted slowly", webhook.calls)
    assert webhook.calls >= 5
    assert not told.said


@pytest.mark.parametrize("story", some(STORIES, 2), ids=named)
def test_some_writes_are_not_admitted_in_time(ground: Ground, story: Story) -> None:
    """The API server refuses those with a 500, and they are tried again."""
    webhook = AdmissionWebhook(lambda number: 2 * TIMEOUT if number % 3 == 0 else 0)
    with set_up(ground, story) as scene, webhook.asked(ground.bed, namespace=scene.rollout.namespace, user="operator"):
        tell(scene, story)
        told = look_back(scene, story)
    ground.tally.add("writes not admitted in time", webhook.late)
    assert webhook.late >= 2
    assert not told.said
