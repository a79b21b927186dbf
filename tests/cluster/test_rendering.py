"""What we render against a real API server: what it makes of it, and what is read back."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiException

from cluster.kube import Kube, Object, everything, placed
from modelrollout.api.manifests import covers, fence_of, unless_there
from modelrollout.api.owner import Rollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour
from modelrollout.api.traffic import MOST_COHORTS, HeaderMatch
from modelrollout.engine.effects import ApplyWorkload, ScaleWorkload, SetTraffic
from modelrollout.engine.snapshot import Workload
from modelrollout.traffic.router import router_for
from modelrollout.workloads import budgets, deployment
from stack.operator_process import eventually
from support.rendering import GATEWAY_API, Cluster, rollout

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
BLUE, GREEN = Colour.BLUE, Colour.GREEN


def _spec_in(path: Path) -> ModelRolloutSpec:
    return ModelRolloutSpec.model_validate(yaml.safe_load(path.read_text())["spec"])


AWKWARD = {
    "metadata": {"creationTimestamp": None, "labels": {}, "annotations": {"note": ""}},
    "spec": {
        "hostNetwork": False,
        "serviceAccount": "default",
        "nodeSelector": {},
        "imagePullSecrets": [{"name": "pull"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {},
        "initContainers": [
            {"name": "fetch", "image": "fetch:1", "args": [], "restartPolicy": "Always", "workingDir": ""}
        ],
        "containers": [
            {
                "name": "server",
                "image": "server:1",
                "command": ["serve"],
                "env": [
                    {"name": "EMPTY", "value": ""},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings", "optional": False}}],
                "ports": [
                    {"name": "http", "containerPort": 8080},
                    {"name": "udp", "containerPort": 8080, "protocol": "UDP", "hostPort": 0},
                ],
                "resources": {
                    "requests": {"cpu": 0.5, "memory": "1024Mi", "nvidia.com/gpu": 1},
                    "limits": {"cpu": "2000m", "memory": "1.5Gi", "nvidia.com/gpu": "1"},
                },
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": []}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 0},
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/scratch", "readOnly": False, "subPath": ""},
                    {"name": "token", "mountPath": "/token", "readOnly": True},
                ],
                "stdin": False,
            }
        ],
        "tolerations": [{"operator": "Exists", "key": "gpu", "effect": ""}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {}}}}
                ]
            }
        },
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "1024Mi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "plain", "emptyDir": {}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "config", "configMap": {"name": "settings", "defaultMode": 0o440}},
            {
                "name": "model",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10240Mi"}}}
                    }
                },
            },
        ],
    },
}


SPECS = {
    **{path.stem: spec for path, spec in zip(EXAMPLES, map(_spec_in, EXAMPLES), strict=True) if spec.template},
    "awkward-replicas": rollout(template=AWKWARD).spec,
    "awkward-gateway": rollout(template=AWKWARD, traffic=GATEWAY_API).spec,
    "long-answers": rollout(traffic=GATEWAY_API, service={"longestAnswer": "1h30m"}).spec,
    "budget-of-a-share": rollout(disruptionBudget={"maxUnavailable": "25%"}).spec,
    "budget-of-a-number": rollout(disruptionBudget={"minAvailable": 1}).spec,
}


@pytest.mark.parametrize("spec", list(SPECS.values()), ids=list(SPECS))
def test_what_was_written_is_covered_by_what_is_read_back(kube: Kube, spec: ModelRolloutSpec) -> None:
    subject = Rollout(name="fraud", namespace=kube.namespace, uid="uid-1", spec=spec)
    for manifest in everything(subject, weight=25):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        assert covers(manifest, kube.apply(manifest)), name
        live = kube.get(manifest)
        assert live is not None, name
        assert covers(manifest, live), name


def test_an_upgrade_of_the_template_replaces_what_it_says_and_drops_what_it_leaves_out(kube: Kube) -> None:
    effect = ApplyWorkload(colour=BLUE, attempt=1, revision="r1", replicas=0)
    kube.apply(deployment.render(placed(kube, rollout(template=AWKWARD)), effect))
    plain = deployment.render(placed(kube, rollout()), effect)
    live = kube.apply(plain)
    assert covers(plain, live)
    pod = live["spec"]["template"]["spec"]
    assert "volumes" not in pod
    assert [variable["name"] for variable in pod["containers"][0]["env"]] == [
        *("MODEL_NAME", "MODEL_VERSION", "MODEL_URI", "CACHE"),
    ]


def test_a_budget_drops_what_the_spec_says_no_longer(kube: Kube) -> None:
    """The API server takes no budget with both."""
    for asked in ({"maxUnavailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": "50%"}):
        budget, _ = budgets.render(placed(kube, rollout(disruptionBudget=asked)))
        spec = kube.apply(budget)["spec"]
        assert {field: value for field, value in spec.items() if field in ("maxUnavailable", "minAvailable")} == asked


def test_what_somebody_else_changes_is_seen_and_put_back(kube: Kube) -> None:
    subject = placed(kube, rollout())
    (service,) = router_for(subject.spec).render(subject, SetTraffic(stable=BLUE, attempt=1))
    kube.apply(service)
    meddled = kube.patch(service, {"spec": {"selector": {"modelrollout.io/colour": "green"}}})
    assert not covers(service, meddled)
    assert covers(service, kube.apply(service))


def test_what_somebody_else_adds_is_left_alone(kube: Kube) -> None:
    rendered = deployment.render(
        placed(kube, rollout()), ApplyWorkload(colour=BLUE, attempt=1, revision="r1", replicas=0)
    )
    kube.apply(rendered)
    kube.patch(rendered, {"metadata": {"labels": {"team": "risk"}, "annotations": {"note": "theirs"}}})
    container = {"name": "server", "env": [{"name": "TRACE", "value": "on"}]}
    theirs = {**rendered, "metadata": {"name": rendered["metadata"]["name"]}}
    theirs["spec"] = {"template": {"spec": {"containers": [container]}}}
    live = kube._resource(rendered).server_side_apply(body=theirs, namespace=kube.namespace, field_manager="tracing")
    assert covers(rendered, live.to_dict())
    kept = kube.apply(rendered)
    assert kept["metadata"]["labels"]["team"] == "risk"
    assert "TRACE" in {variable["name"] for variable in kept["spec"]["template"]["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("weights", [(0, 25, 100, 0), (100, 50, 0), (25, 0, 25)])
def test_each_write_of_the_service_leaves_exactly_the_selector_it_says(kube: Kube, weights: tuple[int, ...]) -> None:
    subject = placed(kube, rollout())
    for weight in weights:
        (service,) = router_for(subject.spec).render(
            subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight)
        )
        assert kube.apply(service)["spec"]["selector"] == service["spec"]["selector"]


def test_a_route_takes_as_many_cohorts_as_a_strategy_and_a_status_may_name(kube: Kube) -> None:
    def named(kind: str, count: int) -> tuple[HeaderMatch, ...]:
        return tuple(HeaderMatch(header="X-Ring", value=f"{kind} {number}") for number in range(count))

    rings = [{"name": "internal", "match": [named("in", 1)[0].to_wire()]}, {"name": "production", "weight": 100}]
    subject = placed(kube, rollout(traffic=GATEWAY_API, strategy={"ring": {"rings": rings}}))
    let_in, excluded = named("in", MOST_COHORTS), named("out", 16)
    traffic = SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, cohort=let_in, excluded=excluded)
    route, _ = router_for(subject.spec).render(subject, traffic)
    live = kube.apply(route)
    assert covers(route, live)
    seen = router_for(subject.spec).observe(subject, Cluster(live), {})
    assert seen is not None
    assert (seen.cohorts, seen.excluded) == ({GREEN: frozenset(let_in)}, frozenset(excluded))


def test_hostnames_and_ports_that_leave_the_spec_leave_the_objects(kube: Kube) -> None:
    with_hosts = {"gatewayAPI": GATEWAY_API["gatewayAPI"] | {"hostnames": ["fraud.example.com"]}}
    before = placed(kube, rollout(traffic=with_hosts, service={"port": 80}))
    after = placed(kube, rollout(traffic=GATEWAY_API, service={"port": 8000}))
    traffic = SetTraffic(stable=BLUE, attempt=1)
    for manifest in router_for(before.spec).render(before, traffic):
        kube.apply(manifest)
    route, service = (kube.apply(manifest) for manifest in router_for(after.spec).render(after, traffic))
    assert route["spec"].get("hostnames", []) == []
    assert [port["port"] for port in service["spec"]["ports"]] == [8000]


@pytest.mark.parametrize("router", [{}, GATEWAY_API], ids=["replicas", "gateway"])
def test_a_route_written_on_a_stale_view_is_refused(kube: Kube, router: Object) -> None:
    subject = placed(kube, rollout(traffic=router))

    def write(traffic: SetTraffic) -> str:
        return fence_of(kube.apply(router_for(subject.spec).render(subject, traffic)[0]))

    def stage(weight: int, token: str | None) -> SetTraffic:
        return SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight, token=token)

    first = write(stage(0, None))
    last = write(stage(100, first))
    for stale in (stage(50, first), stage(0, first)):
        with pytest.raises(ApiException) as refused:
            write(stale)
        assert refused.value.status == 409
    promoted = SetTraffic(stable=GREEN, attempt=2, candidate=BLUE, weight=0, token=last)
    assert write(promoted) != last, "a promotion shows in the object, though the same pods get the same requests"
    with pytest.raises(ApiException) as refused:
        write(stage(0, last))
    assert refused.value.status == 409


@pytest.mark.parametrize("router", [{}, GATEWAY_API], ids=["replicas", "gateway"])
def test_a_write_on_the_view_of_an_object_that_is_gone_is_a_conflict_and_makes_nothing(
    kube: Kube, router: Object
) -> None:
    subject = placed(kube, rollout(traffic=router))
    traffic = SetTraffic(stable=BLUE, attempt=1)
    live = kube.apply(router_for(subject.spec).render(subject, traffic)[0])
    kube.delete(live, propagation="Background")
    eventually(lambda: kube.get(live) is None, "the end of the object")
    on_old_view = replace(traffic, token=fence_of(live))
    with pytest.raises(ApiException) as refused:
        kube.apply(router_for(subject.spec).render(subject, on_old_view)[0])
    assert refused.value.status == 409
    assert kube.get(live) is None


def test_what_is_to_be_made_is_made_once_and_not_written_over_what_is_there(kube: Kube) -> None:
    subject = placed(kube, rollout())
    for manifest in everything(subject):
        kube.apply(unless_there(manifest))
        with pytest.raises(ApiException) as refused:
            kube.apply(unless_there(manifest))
        assert refused.value.status == 409


def test_ready_pods_are_counted_once_the_deployment_is_settled(kube: Kube) -> None:
    subject = placed(kube, rollout())

    def ready(attempt: int, replicas: int) -> Workload:
        effect = ApplyWorkload(colour=GREEN, attempt=attempt, revision=f"r{attempt}", replicas=replicas)
        rendered = deployment.render(subject, effect)
        kube.apply(rendered)

        def look() -> Workload | None:
            seen = deployment.observe(kube.get(rendered) or {})
            return seen if seen.settled and seen.ready == seen.total == replicas else None

        return eventually(look, f"{replicas} ready pods of attempt {attempt}")

    assert ready(1, 3).revision == "r1"
    assert ready(2, 2).revision == "r2"
    kube.patch(
        deployment.render(subject, ApplyWorkload(colour=GREEN, attempt=2, revision="r2", replicas=2)),
        deployment.scale(ScaleWorkload(colour=GREEN, replicas=4)),
    )
    assert ready(2, 1).desired == 1


def test_pods_that_a_quota_forbids_are_told(kube: Kube) -> None:
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        }
    )
    rendered = deployment.render(
        placed(kube, rollout()), ApplyWorkload(colour=BLUE, attempt=1, revision="r1", replicas=1)
    )
    kube.apply(rendered)
    message = eventually(
        lambda: deployment.observe(kube.get(rendered) or {}).message, "the complaint of the Deployment"
    )
    assert "exceeded quota" in message
