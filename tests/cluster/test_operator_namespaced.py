"""The operator with rights in one namespace only."""

from pathlib import Path

from kubernetes.client import ApiClient

import testbed
from stack.operator_process import eventually, grant, revoke, running
from stack.rollout import Rollout
from support.namespaces import new_namespace


def test_it_needs_no_rights_elsewhere_and_leaves_what_is_there_alone(
    bed: testbed.Bed, client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    elsewhere = new_namespace(client, "elsewhere-")
    revoke(bed)
    grant(bed, namespace=namespace)
    inside, outside = Rollout(bed, client, namespace), Rollout(bed, client, elsewhere)
    outside.apply("1.0.0")
    with running(bed, tmp_path, f"--namespace={namespace}") as operator:
        inside.apply("1.0.0")
        inside.serves("1.0.0")
        inside.apply("2.0.0")
        inside.serves("2.0.0")
        eventually(lambda: "Promoted" in inside.events(), "its events")
        assert outside.status()["observedGeneration"] == -1
        assert "forbidden" not in operator.log.read_text().lower()
