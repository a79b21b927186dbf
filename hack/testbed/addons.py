"""What runs inside the cluster of a full bed: DNS, the Gateway API and Envoy Gateway."""

import json
from pathlib import Path
from string import Template

from . import gobuild, helm
from .bed import Bed
from .errors import BedError
from .paths import MANIFESTS

_NAMESPACE = "envoy-gateway-system"
# Envoy's own image says how much it may use; a bed's proxies start fast and stay small.
_ENVOY_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}}
_LOCAL_VALUES = {
    "envoyGateway": {"image": "localhost/envoy-gateway:bed", "pullPolicy": "IfNotPresent"},
    "envoyProxy": {"image": "localhost/envoy:bed", "pullPolicy": "IfNotPresent"},
}


def gateway_api(bed: Bed) -> None:
    """Install the CRDs of the Gateway API, of the version that Envoy Gateway brings."""
    bed.apply(_crds() / "gatewayapi-crds.yaml")


def gateway_crds(bed: Bed) -> None:
    """Install those, and the CRDs of Envoy Gateway's own kinds."""
    gateway_api(bed)
    bed.apply("\n---\n".join(path.read_text() for path in sorted((_crds() / "generated").glob("*.yaml"))))


def dns(bed: Bed, address: str) -> None:
    """Install CoreDNS."""
    bed.apply(Template((MANIFESTS / "coredns.yaml").read_text()).substitute(dns=address))


def envoy_gateway(bed: Bed, *, public_images: bool = False) -> None:
    """Install Envoy Gateway by its own chart, and the GatewayClass `eg`; returns when both are ready."""
    if _is_ready(bed):
        return
    values = bed.folder / "envoy-gateway-values.json"
    values.write_text(json.dumps(_values(public_images)))
    chart = gobuild.gateway_chart()
    helm.upgrade(
        bed,
        # As it is in the module, the chart's own values are a template; ours give what its blanks stand for.
        *("eg", str(chart), f"--values={chart}/values.tmpl.yaml", f"--values={values}"),
        *("--create-namespace", "--wait", "--timeout=5m"),
        namespace=_NAMESPACE,
    )
    container: dict[str, object] = {"resources": _ENVOY_RESOURCES}
    if not public_images:
        container["image"] = _LOCAL_VALUES["envoyProxy"]["image"]
    manifest = Template((MANIFESTS / "gateway-class.yaml").read_text())
    bed.apply(manifest.substitute(container=json.dumps(container)))
    bed.kubectl("wait", "--for=condition=Accepted", "gatewayclass/eg", "--timeout=120s")


def _is_ready(bed: Bed) -> bool:
    """Whether an earlier `up` got as far as this; a new version is for a new bed."""
    try:
        deployment = bed.get("deployment/envoy-gateway", f"--namespace={_NAMESPACE}")
        gateway_class = bed.get("gatewayclass/eg")
    except BedError:
        return False
    accepted = [c["status"] for c in gateway_class["status"].get("conditions", []) if c["type"] == "Accepted"]
    return bool(deployment["status"].get("availableReplicas")) and accepted == ["True"]


def _crds() -> Path:
    return gobuild.gateway_chart() / "charts/crds/crds"


def _values(public_images: bool) -> object:
    version = gobuild.gateway_version()
    public = {"envoyGateway": {"image": f"envoyproxy/gateway:{version}", "pullPolicy": "IfNotPresent"}}
    return {"global": {"images": public if public_images else _LOCAL_VALUES}, "crds": {"enabled": False}}
