"""The Helm chart, rendered by helm: what it grants, what it runs, and what it refuses."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelrollout import __version__
from modelrollout.api.action import ActionKind
from modelrollout.api.labels import ATTEMPT, COLOUR, NAME, VERSION
from modelrollout.controller import guard, kinds
from modelrollout.controller.alert_options import alerts_from
from modelrollout.controller.main import main
from modelrollout.controller.prometheus_options import prometheus_from
from modelrollout.metrics.alerts import AlertLabels
from testbed import gobuild
from testbed.paths import CHART, REPOSITORY

EVERYTHING: dict[str, Any] = {
    "prometheus": {
        "url": "https://prometheus:9090",
        "timeout": "5s",
        "headers": {"X-Scope-OrgID": "ml|risk"},
        "username": "operator",
        **{f"{part}Secret": {"name": "prometheus", "key": f"{part}.txt"} for part in ("password", "ca", "cert", "key")},
        "sources": [
            {
                "name": "eu",
                "url": "https://eu",
                "headers": {"X-Scope-OrgID": "eu"},
                "bearerTokenSecret": {"name": "eu", "key": "token"},
            }
        ],
    },
    "alerts": {
        "enabled": True,
        "port": 9099,
        "rolloutLabel": "model",
        **{f"{part}Secret": {"name": "alerts", "key": part} for part in ("token", "cert", "key")},
    },
    "watchNamespaces": ["ml", "risk"],
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "modelPodMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "imagePullSecrets": [{"name": "pull"}],
    "serviceAccount": {"annotations": {"note": "x"}},
    "copies": {"secrets": True},
    "roles": {"approvers": ["security", "executive"]},
    "env": [{"name": "MODELROLLOUT_WORKERS", "value": "8"}],
    "podLabels": {"team": "platform"},
    "podAnnotations": {"note": "x"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

LOOKING = ("list", "watch")
EVERYDAY = {"get", "list", "watch", "create", "update", "patch", "delete"}

Object = dict[str, Any]


def helm(*args: str, values: Object) -> subprocess.CompletedProcess[str]:
    command = [str(gobuild.program("helm")), *args, "--values=-"]
    return subprocess.run(command, check=False, input=json.dumps(values), capture_output=True, text=True)


@cache
def _rendered(values: str, release: str) -> str:
    done = helm("template", release, str(CHART), "--namespace=operators", values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(release: str = "modelrollout", **values: Any) -> list[Object]:
    return [one for one in yaml.safe_load_all(_rendered(json.dumps(values, sort_keys=True), release)) if one]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def named(objects: list[Object], kind: str, name: str) -> Object:
    (one,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)
    return one


def pod_of(objects: list[Object]) -> Object:
    (deployment,) = of_kind(objects, "Deployment")
    pod: Object = deployment["spec"]["template"]
    return pod


def arguments(objects: list[Object]) -> list[str]:
    """Of the operator's container, with the references to its environment replaced as the kubelet does it."""
    (container,) = pod_of(objects)["spec"]["containers"]
    (namespace,) = [one["valueFrom"] for one in container["env"] if one["name"] == "POD_NAMESPACE"]
    assert namespace == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return [argument.replace("$(POD_NAMESPACE)", "operators") for argument in container["args"]]


def granted(rules: list[Object]) -> set[tuple[str, str, str]]:
    """What rules allow, as (group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(*, cluster_wide: bool, secrets: bool = False) -> Iterator[tuple[str, str, str]]:
    """What the operator asks of the API server, kind by kind."""
    verbs: dict[kinds.Kind, tuple[str, ...]] = dict.fromkeys(kinds.WATCHED, ("list", "watch"))
    verbs |= dict.fromkeys(kinds.CHILDREN, ("get", "list", "watch", "create", "patch", "delete"))
    verbs |= {kinds.MODEL_ROLLOUTS: ("get", "list", "watch", "patch"), kinds.EVENTS: ("create",)}
    verbs |= {kinds.ROLLOUT_ACTIONS: ("get", "list", "watch")}
    verbs |= {kinds.ROLLOUT_REPORTS: ("get", "list", "create", "patch", "delete")}
    for kind, wanted in verbs.items():
        if (kind.namespaced or cluster_wide) and (secrets or kind is not kinds.SECRETS):
            yield from ((kind.group, kind.plural, verb) for verb in wanted)
    yield (kinds.MODEL_ROLLOUTS.group, "rolloutactions/status", "update")
    yield (kinds.MODEL_ROLLOUTS.group, "modelrollouts/status", "update")
    yield (kinds.MODEL_ROLLOUTS.group, "modelrollouts/finalizers", "update")
    if cluster_wide:  # kopf looks which kinds there are
        yield from (("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch"))


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_finds_no_fault(values: Object) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"prometheusUrl": "http://p"}, "prometheusUrl"),
        ({"prometheus": {"url": "prometheus:9090"}}, "/prometheus/url"),
        ({"prometheus": {"url": "http://me:secret@p"}}, "/prometheus/url"),
        ({"prometheus": {"bearerTokenSecret": {"name": "p"}}}, "/prometheus/bearerTokenSecret"),
        ({"prometheus": {"bearerTokenSecret": "t0ken"}}, "/prometheus/bearerTokenSecret"),
        ({"prometheus": {"bearerToken": "t0ken"}}, "/prometheus"),
        ({"prometheus": {"timeout": "fast"}}, "/prometheus/timeout"),
        ({"prometheus": {"sources": [{"name": "eu"}]}}, "/prometheus/sources/0"),
        ({"prometheus": {"sources": [{"name": "EU", "url": "http://p"}]}}, "/prometheus/sources/0/name"),
        ({"prometheus": {"sources": [{"name": "eu", "url": "p"}]}}, "/prometheus/sources/0/url"),
        ({"alerts": {"enabled": True}}, "alerts.tokenSecret"),
        ({"alerts": {"rolloutLabel": "modelrollout.io/name"}}, "/alerts/rolloutLabel"),
        ({"alerts": {"port": 80}}, "/alerts/port"),
        ({"replicaCount": 0}, "/replicaCount"),
        ({"watchNamespaces": "ml"}, "/watchNamespaces"),
        ({"watchNamespaces": ["ml", "ml"]}, "/watchNamespaces"),
        ({"watchNamespaces": ["Ml"]}, "/watchNamespaces/0"),
        ({"logging": {"format": "xml"}}, "/logging/format"),
        ({"logging": {"level": "verbose"}}, "/logging/level"),
        ({"image": {"tag": 1.0}}, "/image/tag"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"modelPodMonitor": {"interval": "fast"}}, "/modelPodMonitor/interval"),
        ({"copies": {"secrets": "yes"}}, "/copies/secrets"),
        ({"podAnnotations": {"build": 7}}, "/podAnnotations/build"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name"),
        ({"roles": {"approvers": ["Security"]}}, "/roles/approvers/0"),
    ],
)
def test_wrong_values_are_refused_and_named(values: Object, field: str) -> None:
    done = helm("template", "modelrollout", str(CHART), values=values)
    assert done.returncode != 0
    assert field in done.stderr


def test_the_operator_may_do_what_it_does_and_nothing_else() -> None:
    role = named(rendered(), "ClusterRole", "modelrollout")
    assert granted(role["rules"]) == set(used(cluster_wide=True))


def test_it_may_touch_secrets_only_where_it_is_to_copy_them() -> None:
    objects = rendered(copies={"secrets": True})
    role = named(objects, "ClusterRole", "modelrollout")
    assert granted(role["rules"]) == set(used(cluster_wide=True, secrets=True))
    assert "--copy-secrets" in arguments(objects)
    assert "--copy-secrets" not in arguments(rendered())


def test_for_every_action_there_is_a_role_whose_holders_may_ask_for_it() -> None:
    objects = rendered(roles={"approvers": ["security"]})
    roles = {role: named(objects, "ClusterRole", f"modelrollout-{role}") for role in ("viewer", "operator", "approver")}
    verbs = {role: {verb for _, _, verb in granted(one["rules"])} - EVERYDAY for role, one in roles.items()}
    by_policy = {"SignOff": "sign-off", "Approve": "approve:security"}
    asked = {by_policy.get(kind, kind.lower()) for kind in ActionKind}
    security = named(objects, "ClusterRole", "modelrollout-approver-security")
    assert {verb for _, _, verb in granted(security["rules"])} - EVERYDAY == {"approve:security"}
    assert verbs["viewer"] == set()
    assert verbs["approver"] == {"sign-off"}
    assert verbs["operator"] == asked - {"sign-off", "approve:security"}


def test_only_the_operator_itself_writes_reports() -> None:
    objects = rendered(roles={"approvers": ["security"]})
    writers = {
        role["metadata"]["name"]
        for role in of_kind(objects, "ClusterRole")
        for _, resource, verb in granted(role["rules"])
        if resource == "rolloutreports" and verb not in ("get", *LOOKING)
    }
    assert writers == {"modelrollout"}


def test_the_policy_has_the_name_by_which_the_operator_looks_for_it() -> None:
    for kind in kinds.GUARDS:
        guard_object = named(rendered(), kind.kind, guard.POLICY)
        label, value = kind.selector.split("=")
        assert guard_object["metadata"]["labels"][label] == value


def test_in_some_namespaces_it_has_rights_there_and_nowhere_else() -> None:
    objects = rendered(watchNamespaces=["ml", "risk"])
    elsewhere = named(objects, "ClusterRole", "modelrollout")
    assert granted(elsewhere["rules"]) == {(kind.group, kind.plural, verb) for kind in kinds.GUARDS for verb in LOOKING}
    roles, bindings = (
        [one for one in of_kind(objects, kind) if not one["metadata"]["name"].endswith("-lease")]
        for kind in ("Role", "RoleBinding")
    )
    assert [role["metadata"]["namespace"] for role in roles] == ["ml", "risk"]
    assert [binding["metadata"]["namespace"] for binding in bindings] == ["ml", "risk"]
    for role in roles:
        assert granted(role["rules"]) == set(used(cluster_wide=False))


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["ml"]}, {"serviceAccount": {"name": "robot"}}])
def test_the_rights_are_those_of_the_account_that_the_pod_runs_under(values: Object) -> None:
    objects = rendered(**values)
    account = pod_of(objects)["spec"]["serviceAccountName"]
    assert [one["metadata"]["name"] for one in of_kind(objects, "ServiceAccount")] == [account]
    for binding in (*of_kind(objects, "ClusterRoleBinding"), *of_kind(objects, "RoleBinding")):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "operators"}]


def test_accounts_and_rights_may_come_from_somewhere_else() -> None:
    left_to_others: Object = {part: {"create": False} for part in ("rbac", "roles", "actionPolicy")}
    objects = rendered(serviceAccount={"create": False, "name": "robot"}, **left_to_others)
    rest = {"Service", "Deployment", "PodDisruptionBudget"}
    assert {one["kind"] for one in objects} == {"CustomResourceDefinition", *rest}
    assert pod_of(objects)["spec"]["serviceAccountName"] == "robot"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_pod_fits_the_restricted_standard_and_writes_to_no_disk(values: Object) -> None:
    pod = pod_of(rendered(**values))["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in container.get("volumeMounts", ()))
    assert {kind for volume in pod.get("volumes", ()) for kind in volume} <= {"name", "projected"}


def mounted(objects: list[Object], folder: Path) -> list[str]:
    """The arguments of the operator, with the files that it gets made below a folder as the kubelet mounts them."""
    pod = pod_of(objects)["spec"]
    (container,) = pod["containers"]
    args = arguments(objects)
    for mount in container.get("volumeMounts", ()):
        (volume,) = (one for one in pod["volumes"] if one["name"] == mount["name"])
        for kind, held in (item for one in volume["projected"]["sources"] for item in one.items()):
            for item in held["items"]:
                path = Path(f"{folder}{mount['mountPath']}") / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                content = f"{item['key']} of the Secret"
                if kind == "configMap":
                    content = named(objects, "ConfigMap", held["name"])["data"][item["key"]]
                path.write_text(content.replace(mount["mountPath"], f"{folder}{mount['mountPath']}"))
        args = [argument.replace(mount["mountPath"], f"{folder}{mount['mountPath']}") for argument in args]
    return args


def options_of(args: list[str]) -> Object:
    return main.make_context("modelrollout-operator", args).params


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_operator_understands_the_arguments_it_is_given(values: Object, tmp_path: Path) -> None:
    options = options_of(mounted(rendered(**values), tmp_path))
    assert list(options["namespaces"]) == values.get("watchNamespaces", [])
    assert (options["log_format"], options["log_level"], options["metrics_port"]) == ("json", "info", 8080)
    sources = prometheus_from(options)
    if not values:
        assert sources == ()
        return
    access, eu = sources
    assert (access.url, access.timeout, access.headers) == (
        "https://prometheus:9090",
        timedelta(seconds=5),
        {"X-Scope-OrgID": "ml|risk"},
    )
    assert access.username == "operator"
    files = {"password": access.password_file, "ca": access.ca_file, "cert": access.cert_file, "key": access.key_file}
    assert {part: path and path.read_text() for part, path in files.items()} == {
        part: f"{part}.txt of the Secret" for part in files
    }
    assert (eu.name, eu.url, eu.headers) == ("eu", "https://eu", {"X-Scope-OrgID": "eu"})
    assert eu.bearer_token_file is not None
    assert eu.bearer_token_file.read_text() == "token of the Secret"


def test_other_sources_are_read_by_pods_that_start_with_them() -> None:
    def noted(url: str) -> Object:
        annotations: Object = pod_of(rendered(prometheus={"sources": [{"name": "eu", "url": url}]}))["metadata"]
        return annotations

    assert noted("http://a") == noted("http://a")
    assert noted("http://a") != noted("http://b")


def test_alerts_are_taken_where_that_is_asked_for_with_a_token(tmp_path: Path) -> None:
    assert alerts_from(options_of(mounted(rendered(), tmp_path))) is None
    objects = rendered(**EVERYTHING)
    alerts = alerts_from(options_of(mounted(objects, tmp_path)))
    assert alerts is not None
    assert (alerts.port, alerts.labels) == (9099, AlertLabels(namespace="namespace", rollout="model"))
    files = (alerts.token_file, alerts.cert_file, alerts.key_file)
    assert [path and path.read_text() for path in files] == [
        f"{part} of the Secret" for part in ("token", "cert", "key")
    ]


def test_prometheus_finds_every_pod_to_push_alerts_to() -> None:
    objects = rendered(**EVERYTHING)
    service = named(objects, "Service", "modelrollout-alerts")
    (container,) = pod_of(objects)["spec"]["containers"]
    (port,) = (one for one in container["ports"] if one["name"] == "alerts")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["ports"] == [{"name": "alerts", "port": 9099, "targetPort": "alerts"}]
    assert port["containerPort"] == 9099
    assert service["spec"]["selector"].items() <= pod_of(objects)["metadata"]["labels"].items()


def test_a_token_is_mounted_and_never_an_argument(tmp_path: Path) -> None:
    token = {"name": "prometheus", "key": "token"}
    objects = rendered(prometheus={"url": "http://p", "bearerTokenSecret": token, "insecureSkipVerify": False})
    (access,) = prometheus_from(options_of(mounted(objects, tmp_path)))
    assert access.bearer_token_file is not None
    assert access.bearer_token_file.read_text() == "token of the Secret"


def test_whoever_answers_is_believed_only_where_that_is_asked_for() -> None:
    objects = rendered(prometheus={"url": "https://p", "insecureSkipVerify": True})
    assert "--prometheus-insecure-skip-verify" in arguments(objects)


def test_probes_metrics_and_service_meet_at_one_port() -> None:
    objects = rendered()
    (container,) = pod_of(objects)["spec"]["containers"]
    (port,) = container["ports"]
    assert f"--metrics-port={port['containerPort']}" in container["args"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    (service,) = of_kind(objects, "Service")
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_one_of_two_may_go_at_a_time_and_a_new_one_is_there_before() -> None:
    objects = rendered()
    (deployment,), (budget,) = of_kind(objects, "Deployment"), of_kind(objects, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_a_single_one_does_not_keep_its_node_from_being_drained() -> None:
    assert of_kind(rendered(replicaCount=1), "PodDisruptionBudget") == []


def test_replicas_are_spread_over_nodes_and_zones_where_there_are_more_than_one() -> None:
    objects = rendered()
    (deployment,) = of_kind(objects, "Deployment")
    constraints = pod_of(objects)["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in constraints] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert {one["whenUnsatisfiable"] for one in constraints} == {"ScheduleAnyway"}
    assert all(one["labelSelector"] == deployment["spec"]["selector"] for one in constraints)


@pytest.mark.parametrize("values", [{}, {"replicaCount": 1}, {"watchNamespaces": ["operators"]}])
def test_replicas_agree_by_a_lease_that_they_may_write_and_no_other(values: Object) -> None:
    objects = rendered(**values)
    (role,) = [one for one in of_kind(objects, "Role") if one["metadata"]["name"] == "modelrollout-lease"]
    (binding,) = [one for one in of_kind(objects, "RoleBinding") if one["metadata"]["name"] == "modelrollout-lease"]
    lease = main.make_context("modelrollout-operator", arguments(objects)).params["lease"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == lease.namespace == "operators"
    assert granted(role["rules"]) == {(kinds.LEASES.group, "leases", verb) for verb in ("get", "create", "patch")}
    (by_name,) = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert by_name["resourceNames"] == [lease.name]


def test_selectors_find_the_pod() -> None:
    objects = rendered(**EVERYTHING)
    labels = pod_of(objects)["metadata"]["labels"].items()
    (deployment,) = of_kind(objects, "Deployment")
    service = named(objects, "Service", "modelrollout-metrics")
    monitor = next(one for one in of_kind(objects, "PodMonitor") if one["metadata"]["name"] == "modelrollout")
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels


@pytest.mark.parametrize(
    ("release", "name"),
    [("modelrollout", "modelrollout"), ("prod", "prod-modelrollout"), ("x" * 53, "x" * 53 + "-modelroll")],
)
def test_objects_are_named_after_the_release(release: str, name: str) -> None:
    (deployment,) = of_kind(rendered(release), "Deployment")
    assert deployment["metadata"]["name"] == name


def test_crds_are_upgraded_with_the_release_and_outlive_it() -> None:
    ours = {path.name: yaml.safe_load(path.read_text()) for path in (REPOSITORY / "crds").glob("*.yaml")}
    installed = of_kind(rendered(), "CustomResourceDefinition")
    assert {crd["metadata"]["name"]: crd["spec"] for crd in installed} == {
        crd["metadata"]["name"]: crd["spec"] for crd in ours.values()
    }
    for crd in installed:
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_may_be_left_to_somebody_else() -> None:
    assert of_kind(rendered(crds={"install": False}), "CustomResourceDefinition") == []


def test_monitors_are_only_there_where_they_are_asked_for() -> None:
    assert of_kind(rendered(), "PodMonitor") == []


def test_model_pods_are_scraped_with_the_labels_that_the_queries_ask_for() -> None:
    objects = rendered(modelPodMonitor={"enabled": True, "port": "prom", "path": "/q/metrics", "interval": "1s"})
    (monitor,) = of_kind(objects, "PodMonitor")
    assert set(monitor["spec"]["podTargetLabels"]) == {NAME, COLOUR, ATTEMPT, VERSION}
    assert monitor["spec"]["selector"] == {"matchExpressions": [{"key": NAME, "operator": "Exists"}]}
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "prom", "path": "/q/metrics", "interval": "1s"}]


def test_model_pods_are_scraped_where_the_operator_looks() -> None:
    objects = rendered(modelPodMonitor={"enabled": True}, watchNamespaces=["ml"])
    (monitor,) = of_kind(objects, "PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["ml"]}


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    (container,) = pod_of(rendered())["spec"]["containers"]
    assert container["image"] == f"modelrollout-operator:{__version__}"
    assert f"/modelrollout-operator:{__version__}\n" in (REPOSITORY / "README.md").read_text()
