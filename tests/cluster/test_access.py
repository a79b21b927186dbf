"""Who may ask for what, on a real API server: the roles, the admission policy, and what the operator makes of them."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient

import testbed
from cluster.kube import Object
from modelrollout.controller import guard
from modelrollout.controller.kinds import GUARDS
from stack.operator_process import OperatorProcess, eventually
from stack.rollout import Rollout
from testbed import gobuild
from testbed.paths import REPOSITORY

ROLLOUT = "scorer"
ADMINS = "system:masters"
STAGE_FIELDS: Object = {"stage": "canary-5"}


@pytest.fixture(scope="module")
def installed(bed: testbed.Bed) -> Iterator[list[Object]]:
    """The roles for people and the policy, as the manifests have them, in force."""
    objects = [
        one
        for one in yaml.safe_load_all((REPOSITORY / "manifests" / "operator.yaml").read_text())
        if one["kind"] == "ClusterRole" or one["kind"].startswith("ValidatingAdmissionPolicy")
    ]
    bed.apply(yaml.safe_dump_all(objects))
    eventually(
        lambda: "spec.by" in asked(bed, "default", "root", "Pause", by="x", group=ADMINS), "the policy to be in force"
    )
    yield objects
    bed.kubectl("delete", "--ignore-not-found", *(f"{one['kind']}/{one['metadata']['name']}" for one in objects))


@pytest.fixture
def people(bed: testbed.Bed, namespace: str, installed: list[Object]) -> str:
    """A namespace in which vera views, olaf operates, and alva approves: for security, in this rollout only."""
    for person, role in (("vera", "viewer"), ("olaf", "operator"), ("alva", "approver")):
        grant(bed, namespace, person, "clusterrole", f"modelrollout-{role}")
    bed.kubectl(
        *("create", "role", "security", "--verb=approve:security", f"--resource-name={ROLLOUT}"),
        *("--resource=modelrollouts.modelrollout.io", f"--namespace={namespace}"),
    )
    grant(bed, namespace, "alva", "role", "security")
    return namespace


def grant(bed: testbed.Bed, namespace: str, person: str, kind: str, role: str) -> None:
    bed.kubectl(
        *("create", "rolebinding", f"{person}-{role}", f"--{kind}={role}", f"--user={person}"),
        f"--namespace={namespace}",
    )


def asked(
    bed: testbed.Bed,
    namespace: str,
    person: str,
    action: str,
    *,
    by: str = "",
    group: str = "",
    is_meant: bool = False,
    **fields: Any,
) -> str:
    """What the API server says when somebody asks for an action; empty when it takes it. It is kept if `is_meant`."""
    manifest = {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"generateName": "asked-"},
        "spec": {"rollout": ROLLOUT, "attempt": 1, "action": action, "by": by or person, **fields},
    }
    command = [str(gobuild.program("kubectl")), f"--kubeconfig={bed.kubeconfig}", "create", "-f", "-"]
    command += [f"--namespace={namespace}", f"--as={person}"] + ([] if is_meant else ["--dry-run=server"])
    command += [f"--as-group={group}"] if group else []
    done = subprocess.run(command, check=False, input=json.dumps(manifest), capture_output=True, text=True)
    return done.stderr.strip()


def test_a_viewer_sees_and_asks_for_nothing(bed: testbed.Bed, people: str) -> None:
    assert "cannot create resource" in asked(bed, people, "vera", "Pause")
    bed.kubectl("get", "mr,mra,mrr", f"--namespace={people}", "--as=vera")


def test_an_operator_pauses_and_does_not_approve(bed: testbed.Bed, people: str) -> None:
    assert asked(bed, people, "olaf", "Pause") == ""
    refusal = asked(bed, people, "olaf", "Approve", role="security", **STAGE_FIELDS)
    assert "user olaf may not ask for Approve" in refusal
    assert f"it takes the verb approve:security on modelrollouts.modelrollout.io {ROLLOUT}" in refusal
    assert "the verb sign-off" in asked(bed, people, "olaf", "SignOff", item="runbook", **STAGE_FIELDS)


def test_an_approver_approves_in_the_role_and_the_rollout_that_were_granted(bed: testbed.Bed, people: str) -> None:
    assert asked(bed, people, "alva", "Approve", role="security", **STAGE_FIELDS) == ""
    assert asked(bed, people, "alva", "SignOff", item="runbook", **STAGE_FIELDS) == ""
    assert "approve:executive" in asked(bed, people, "alva", "Approve", role="executive", **STAGE_FIELDS)
    assert "other" in asked(bed, people, "alva", "Approve", role="security", rollout="other", **STAGE_FIELDS)
    assert "the verb promote" in asked(bed, people, "alva", "Promote")


def test_nobody_asks_in_the_name_of_somebody_else(bed: testbed.Bed, people: str) -> None:
    assert "spec.by: must be who asks: write olaf" in asked(bed, people, "olaf", "Pause", by="alva")


def test_nobody_writes_reports_but_the_operator(bed: testbed.Bed, people: str) -> None:
    for person in ("vera", "olaf", "alva"):
        with pytest.raises(Exception, match="no"):
            bed.kubectl("auth", "can-i", "create", "rolloutreports", f"--as={person}", f"--namespace={people}")


def test_two_people_have_to_approve_each_in_their_own_name(
    bed: testbed.Bed, people: str, operator: OperatorProcess, client: ApiClient
) -> None:
    grant(bed, people, "bert", "clusterrole", "modelrollout-approver")
    grant(bed, people, "bert", "role", "security")
    require = {"approvals": [{"role": "security", "count": 2}], "checklist": ["runbook"]}
    steps = [{"weight": 50, "hold": "1s", "require": require}, {"weight": 100, "hold": "1s"}]
    rollout = Rollout(bed, client, people, ROLLOUT, strategy={"canary": {"steps": steps}})
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    rollout.wait_for(lambda status: "(0 of 2)" in progress(status), "the gate")
    eventually(lambda: is_believed(client), "approvals to be believed, a while after the policy was made")
    of_stage: Object = {"stage": "canary-50", "attempt": 2, "is_meant": True}

    def approved(person: str, **fields: Any) -> str:
        return asked(bed, people, person, "Approve", role="security", **of_stage, **fields)

    for _ in range(2):
        assert approved("alva") == ""
    assert "spec.by" in approved("alva", by="bert")
    assert "may not ask for Approve" in approved("olaf")
    status = rollout.wait_for(lambda status: len(status.get("actions", [])) == 2, "both approvals by alva")
    assert "(1 of 2)" in progress(status), "one person counts once"
    assert asked(bed, people, "alva", "SignOff", item="runbook", **of_stage) == ""
    assert approved("bert") == ""
    rollout.serves("2.0.0")
    told = eventually(lambda: rollout.get("mrr", "scorer-2")["status"].get("consents"), "the report to be whole")
    assert {(one["by"], one.get("role") or one.get("item")) for one in told} == {
        ("alva", "security"),
        ("bert", "security"),
        ("alva", "runbook"),
    }


def progress(status: Object) -> str:
    """What a rollout waits for."""
    return next((one["message"] for one in status["conditions"] if one["type"] == "Progressing"), "")


class Live:
    """`api.objects.Objects`, read at once instead of from a cache."""

    def __init__(self, client: ApiClient) -> None:
        self._client = DynamicClient(client)

    def get(self, kind: str, _namespace: str, name: str) -> Object | None:
        (known,) = (one for one in GUARDS if one.kind == kind)
        resource = self._client.resources.get(api_version=known.api_version, kind=kind)
        listed = resource.get(label_selector=known.selector).to_dict()["items"]
        return next((one for one in listed if one["metadata"]["name"] == name), None)

    def watches(self, _kind: str, _namespace: str) -> bool:
        return True


def is_believed(client: ApiClient) -> bool:
    """Whether what is asked for now was certainly looked at by every API server."""
    since = guard.in_force_since(Live(client))
    return since is not None and datetime.now(UTC) > since + timedelta(seconds=1)


def test_without_the_policy_what_was_asked_for_is_not_believed(
    bed: testbed.Bed, client: ApiClient, installed: list[Object]
) -> None:
    live = Live(client)
    since = guard.in_force_since(live)
    assert since is not None
    assert since < datetime.now(UTC) + guard.TAKES_EFFECT
    binding = next(one for one in installed if one["kind"] == "ValidatingAdmissionPolicyBinding")
    for change in ("warns-only", "gone"):
        if change == "gone":
            bed.kubectl("delete", f"validatingadmissionpolicybinding/{guard.POLICY}")
        else:
            bed.apply(yaml.safe_dump({**binding, "spec": {**binding["spec"], "validationActions": ["Warn"]}}))
        assert guard.in_force_since(live) is None, change
    bed.apply(yaml.safe_dump(binding))
    again = guard.in_force_since(live)
    assert again is not None
    assert again > since
