"""Everything wrong that can be seen at apply is refused there, with the field named and the fix in words."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiClient, ApiException

from generate.crd import KINDS, schema_of
from modelrollout.api.rollout import ModelRollout
from support.bad_inputs import REFUSED, Bad
from support.rollouts import Object, Rollouts, changed, complaints, valid

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def rollouts(client: ApiClient) -> Rollouts:
    return Rollouts(client, "default")


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.what)
def test_refuses_to_create(bad: Bad, rollouts: Rollouts) -> None:
    with pytest.raises(ApiException) as refusal:
        rollouts.create(changed(valid(), bad.changes), dry_run=True)
    said = complaints(refusal.value)
    assert any(bad.is_named_by(complaint) for complaint in said), said


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.what)
def test_refuses_to_apply_server_side(bad: Bad, rollouts: Rollouts) -> None:
    with pytest.raises(ApiException) as refusal:
        rollouts.apply(changed(valid(), bad.changes), dry_run=True)
    said = complaints(refusal.value)
    if bad.applied:
        assert any(bad.applied in complaint.message for complaint in said), said
    else:
        assert any(bad.is_named_by(complaint) for complaint in said), said


def rules_of(schema: Object) -> Iterator[str]:
    """The messages of all CEL rules in a schema."""
    for value in schema.get("x-kubernetes-validations", ()):
        yield value["message"]
    for below in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(below, dict):
            yield from rules_of(below)


def test_every_rule_has_a_row() -> None:
    (kind,) = (one for one in KINDS if one.model is ModelRollout)
    schema = schema_of(kind)
    del schema["properties"]["status"]  # which people do not write
    messages = set(rules_of(schema))
    assert [message for message in messages if not any(bad.words in message for bad in REFUSED)] == []


def test_the_object_that_rows_change_is_right(rollouts: Rollouts) -> None:
    rollouts.create(valid(), dry_run=True)
    rollouts.apply(valid(), dry_run=True)


def test_the_readmes_example_is_right(client: ApiClient, namespace: str) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (example,) = (one for block in blocks for one in yaml.safe_load_all(block) if one["kind"] == "ModelRollout")
    example["metadata"]["namespace"] = namespace
    applied = Rollouts(client, namespace).applied(example)
    assert ModelRollout.model_validate(applied).spec == ModelRollout.model_validate(example).spec
    # What the containers are given of the model has to be said.
    assert "$(MODEL_URI)" in str(example["spec"]["template"])
    assert example["spec"]["model"]["uri"]


def test_refuses_a_bad_change_to_what_is_right(rollouts: Rollouts, namespace: str) -> None:
    there = Rollouts(rollouts.client, namespace)
    there.apply(valid())
    with pytest.raises(ApiException) as refusal:
        there.apply(changed(valid(), {"spec.slos.0.limit": "5"}))
    assert complaints(refusal.value)[0].field == "spec.slos[0].limit"
