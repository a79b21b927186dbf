"""The operator in a cluster that has never heard of the Gateway API."""

from pathlib import Path

from kubernetes.config import new_client_from_config

import testbed
from stack.operator_process import apply_crds, eventually, grant, running
from stack.rollout import Rollout
from stack.served import steps

CRDS = [f"crd/{kind}.gateway.networking.k8s.io" for kind in ("httproutes", "gateways", "gatewayclasses")]


def test_the_replicas_router_needs_none(tmp_path: Path) -> None:
    with testbed.temporary("light", "bare") as bed, new_client_from_config(str(bed.kubeconfig)) as client:
        bed.kubectl("delete", *CRDS, "--timeout=60s")
        apply_crds(bed)
        grant(bed)
        rollout = Rollout(bed, client, "default", replicas=1, strategy=steps(50, 100, hold="1s"))
        with running(bed, tmp_path):
            rollout.apply("1.0.0")
            rollout.serves("1.0.0")
            rollout.apply("2.0.0")
            rollout.serves("2.0.0")
            eventually(lambda: rollout.events()[-1:] == ["Promoted"], "the event of the promotion")
