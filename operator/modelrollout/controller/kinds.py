"""The kinds of objects that the operator reads and writes, and where the API server keeps them."""

from dataclasses import dataclass
from typing import NamedTuple

from modelrollout.api.base import API_VERSION
from modelrollout.api.labels import ATTEMPT, MANAGED_BY, MANAGER, NAME
from modelrollout.api.objects import Live


class Key(NamedTuple):
    """What tells two objects of a kind apart; the namespace is empty for cluster-wide kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Kind:
    """A kind by its names. `selector` (labels) and `fields` narrow lists and watches to what concerns the operator."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    selector: str = ""
    fields: str = ""

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of an object, or of all objects of a namespace or of the cluster."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return root + inside + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)

    def __str__(self) -> str:
        return self.kind


_OURS = f"{MANAGED_BY}={MANAGER}"
_PART_OF_US = "app.kubernetes.io/name=modelrollout"
"""What is installed with the operator, by Helm or otherwise."""
_ADMISSION = "admissionregistration.k8s.io/v1"
_GATEWAY_API = "gateway.networking.k8s.io/v1"

MODEL_ROLLOUTS = Kind(API_VERSION, "ModelRollout", "modelrollouts")
ROLLOUT_ACTIONS = Kind(API_VERSION, "RolloutAction", "rolloutactions")
ROLLOUT_REPORTS = Kind(API_VERSION, "RolloutReport", "rolloutreports", selector=_OURS)
DEPLOYMENTS = Kind("apps/v1", "Deployment", "deployments", selector=_OURS)
SERVICES = Kind("v1", "Service", "services", selector=_OURS)
DISRUPTION_BUDGETS = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", selector=_OURS)
CONTROLLER_REVISIONS = Kind("apps/v1", "ControllerRevision", "controllerrevisions", selector=_OURS)
CONFIG_MAPS = Kind("v1", "ConfigMap", "configmaps", selector=_OURS)
SECRETS = Kind("v1", "Secret", "secrets", selector=_OURS)
"""Only where the operator is told to copy them."""
HTTP_ROUTES = Kind(_GATEWAY_API, "HTTPRoute", "httproutes", selector=_OURS)
GATEWAYS = Kind(_GATEWAY_API, "Gateway", "gateways")
GATEWAY_CLASSES = Kind(_GATEWAY_API, "GatewayClass", "gatewayclasses", namespaced=False)
POLICIES = Kind(
    _ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False, selector=_PART_OF_US
)
POLICY_BINDINGS = Kind(
    _ADMISSION,
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    namespaced=False,
    selector=_PART_OF_US,
)
PODS = Kind("v1", "Pod", "pods", selector=f"{NAME},{ATTEMPT}", fields="status.phase=Pending")
"""Those of ours that wait: only what the scheduler says of them is kept.

Others are listed when they warm up, crash or are scraped.
"""
EVENTS = Kind("events.k8s.io/v1", "Event", "events")
LEASES = Kind("coordination.k8s.io/v1", "Lease", "leases")

CHILDREN = (DEPLOYMENTS, SERVICES, HTTP_ROUTES, DISRUPTION_BUDGETS, CONTROLLER_REVISIONS, CONFIG_MAPS, SECRETS)
COPIED = {kind.kind: kind for kind in (CONFIG_MAPS, SECRETS)}
"""By name: what templates name and attempts get copies of."""
GUARDS = (POLICIES, POLICY_BINDINGS)
WATCHED = (MODEL_ROLLOUTS, ROLLOUT_ACTIONS, *CHILDREN, PODS, GATEWAYS, GATEWAY_CLASSES, *GUARDS)

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in (*WATCHED, ROLLOUT_REPORTS, EVENTS, LEASES)}


def kind_of(manifest: Live) -> Kind:
    """The kind that a manifest says it is; raises KeyError for one that the operator has nothing to do with."""
    return _BY_NAME[manifest["apiVersion"], manifest["kind"]]


def key_of(manifest: Live) -> Key:
    """Namespace and name of an object."""
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def is_ours(manifest: Live) -> bool:
    """Whether an object carries the label that lists and watches of children select by."""
    return (manifest["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def owner_of(manifest: Live) -> Key | None:
    """The rollout that a child belongs to, by its label."""
    metadata = manifest["metadata"]
    name = (metadata.get("labels") or {}).get(NAME)
    return Key(metadata["namespace"], name) if name else None
