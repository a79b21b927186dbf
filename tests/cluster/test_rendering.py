"""What we render against a real API server: what it makes of it, and what its controllers do with it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from kubernetes.client import ApiClient, ApiException
from kubernetes.dynamic import DynamicClient

import testbed
from modelrollout.api.labels import FINALIZER
from modelrollout.api.manifests import covers
from modelrollout.api.owner import Rollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload, Release, ScaleWorkload, SetTraffic
from modelrollout.engine.snapshot import Workload
from modelrollout.traffic.router import router_for
from modelrollout.workloads import deployment, services
from modelrollout.workloads.release import plan
from support.rendering import GATEWAY_API, rollout

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
BLUE, GREEN = Colour.BLUE, Colour.GREEN

Object = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Kube:
    """One namespace of the cluster, written to as the operator writes."""

    client: DynamicClient
    namespace: str

    def apply(self, manifest: Mapping[str, Any]) -> Object:
        applied = self._resource(manifest).server_side_apply(
            body=manifest, namespace=self.namespace, field_manager="modelrollout", force_conflicts=True
        )
        found: Object = applied.to_dict()
        return found

    def patch(self, one: Mapping[str, Any], changes: Object) -> Object:
        patched = self._resource(one).patch(
            body=changes,
            name=one["metadata"]["name"],
            namespace=self.namespace,
            content_type="application/merge-patch+json",
        )
        found: Object = patched.to_dict()
        return found

    def create(self, manifest: Object) -> Object:
        created: Object = self._resource(manifest).create(body=manifest, namespace=self.namespace).to_dict()
        return created

    def get(self, one: Mapping[str, Any]) -> Object | None:
        try:
            found = self._resource(one).get(name=one["metadata"]["name"], namespace=self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        live: Object = found.to_dict()
        return live

    def delete(self, one: Mapping[str, Any], *, propagation: str) -> None:
        self._resource(one).delete(
            name=one["metadata"]["name"], namespace=self.namespace, body={"propagationPolicy": propagation}
        )

    def _resource(self, one: Mapping[str, Any]) -> Any:
        return self.client.resources.get(api_version=one["apiVersion"], kind=one["kind"])


@pytest.fixture
def kube(client: ApiClient, namespace: str) -> Kube:
    return Kube(DynamicClient(client), namespace)  # type: ignore[no-untyped-call]


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = 30) -> T:
    """The first thing that the look finds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"after {seconds:g} s still no {what}")


def placed(kube: Kube, subject: Rollout, *, uid: str = "uid-1") -> Rollout:
    """The rollout in the namespace of this test."""
    return Rollout(name=subject.name, namespace=kube.namespace, uid=uid, spec=subject.spec)


def everything(subject: Rollout, *, weight: int = 0) -> Iterator[Object]:
    """All objects of a rollout while a candidate runs in green."""
    for colour in Colour:
        yield deployment.render(subject, ApplyWorkload(colour=colour, attempt=1, revision="r1", replicas=2))
    yield from services.render(subject)
    yield from router_for(subject.spec).render(
        subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight)
    )


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
    **{path.stem: ModelRolloutSpec.model_validate(yaml.safe_load(path.read_text())["spec"]) for path in EXAMPLES},
    "awkward-replicas": rollout(template=AWKWARD).spec,
    "awkward-gateway": rollout(template=AWKWARD, traffic=GATEWAY_API).spec,
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
        written = kube.apply(router_for(subject.spec).render(subject, traffic)[0])
        return str(written["metadata"]["resourceVersion"])

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


def test_ready_pods_are_counted_once_the_deployment_is_settled(kube: Kube) -> None:
    subject = placed(kube, rollout())

    def ready(attempt: int, replicas: int) -> Workload:
        effect = ApplyWorkload(colour=GREEN, attempt=attempt, revision=f"r{attempt}", replicas=replicas)
        rendered = deployment.render(subject, effect)
        kube.apply(rendered)

        def look() -> Workload | None:
            seen = deployment.observe(kube.get(rendered) or {})
            return seen if seen.settled and seen.ready == seen.total == replicas else None

        return wait_for(f"{replicas} ready pods of attempt {attempt}", look)

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
    message = wait_for("complaint of the Deployment", lambda: deployment.observe(kube.get(rendered) or {}).message)
    assert "exceeded quota" in message


@dataclass(frozen=True)
class Owned:
    """A ModelRollout in the cluster with all its objects, and a marker that the garbage collector shall take."""

    subject: Rollout
    rollout: Object
    children: list[Object]
    marker: Object


def owned(kube: Kube, policy: str) -> Owned:
    spec = rollout(deletionPolicy=policy, traffic=GATEWAY_API).spec
    written = kube.create(
        {
            "apiVersion": "modelrollout.io/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": "fraud", "finalizers": [FINALIZER]},
            "spec": spec.to_wire(),
        }
    )
    subject = Rollout(name="fraud", namespace=kube.namespace, uid=written["metadata"]["uid"], spec=spec)
    owner = {key: written[key] for key in ("apiVersion", "kind")} | {
        key: written["metadata"][key] for key in ("name", "uid")
    }
    marker = kube.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "marker", "ownerReferences": [owner]}}
    )
    return Owned(subject, written, [kube.apply(manifest) for manifest in everything(subject)], marker)


@pytest.fixture(scope="module")
def garbage_collector(bed: testbed.Bed) -> None:
    """Restarted, so that it knows our kind, which it would otherwise come across within a minute."""
    bed.stop("kube-controller-manager", grace=10)
    bed.start("kube-controller-manager")


def wait_for_garbage_collector(kube: Kube, one: Owned) -> None:
    """Wait until it has been through."""
    wait_for("visit of the garbage collector", lambda: kube.get(one.marker) is None, seconds=90)


def let_go(kube: Kube, one: Owned) -> None:
    """Remove the finalizer, and see what the garbage collector makes of it."""
    kube.patch(one.rollout, {"metadata": {"finalizers": None}})
    wait_for("end of the ModelRollout", lambda: kube.get(one.rollout) is None)
    wait_for_garbage_collector(kube, one)


def left(kube: Kube, one: Owned) -> set[tuple[str, str]]:
    """Objects that are there and stay."""
    present = (kube.get(child) for child in one.children)
    return {
        (live["kind"], live["metadata"]["name"])
        for live in present
        if live and "deletionTimestamp" not in live["metadata"]
    }


def carry_out(kube: Kube, one: Owned, effect: Release) -> None:
    """Release as the operator does: from the beginning if an object has changed since it was looked at."""

    def attempt() -> bool:
        found = plan(one.subject, effect, [live for child in one.children if (live := kube.get(child))])
        try:
            for owned_one, patch in found.disown:
                kube.patch(owned_one, patch)
        except ApiException as error:
            if error.status == 409:
                return False
            raise
        for surplus in found.delete:
            kube.delete(surplus, propagation="Background")
        return True

    wait_for("release without a conflict", attempt)


KEPT = {
    ("Deployment", "fraud-blue"),
    ("Service", "fraud"),
    ("Service", "fraud-blue"),
    ("Service", "fraud-green"),
    ("HTTPRoute", "fraud"),
}


@pytest.mark.usefixtures("garbage_collector")
@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deletion_under_retain_leaves_what_serves(kube: Kube, propagation: str) -> None:
    """In the foreground, the garbage collector goes through the dependents before the finalizer is looked at."""
    one = owned(kube, "Retain")
    kube.delete(one.rollout, propagation=propagation)
    if propagation == "Foreground":
        wait_for_garbage_collector(kube, one)
        assert left(kube, one) == KEPT | {("Deployment", "fraud-green")}
    carry_out(kube, one, Release(keep=BLUE))
    let_go(kube, one)
    assert left(kube, one) == KEPT


@pytest.mark.usefixtures("garbage_collector")
def test_deletion_under_delete_leaves_nothing(kube: Kube) -> None:
    one = owned(kube, "Delete")
    kube.delete(one.rollout, propagation="Background")
    let_go(kube, one)
    wait_for("end of all objects", lambda: not left(kube, one))


@pytest.mark.usefixtures("garbage_collector")
def test_what_was_owned_outlives_its_owner_once_it_is_released(kube: Kube) -> None:
    one = owned(kube, "Delete")
    kube.delete(one.rollout, propagation="Background")
    carry_out(kube, one, Release(keep=BLUE))
    let_go(kube, one)
    assert left(kube, one) == KEPT
    assert all("ownerReferences" not in (kube.get(child) or child)["metadata"] for child in one.children[:1])
