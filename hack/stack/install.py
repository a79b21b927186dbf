"""What a rollout needs on a full bed besides Prometheus: images, a Gateway, and the operator from its chart."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed import Bed, BedError, helm, images
from testbed.paths import CHART, REPOSITORY
from testbed.progress import step

NAMESPACE = "modelrollout"
RELEASE = "modelrollout"
_OPERATOR_IMAGE = "localhost/modelrollout-operator"
_GATEWAY = Path(__file__).parent / "manifests" / "gateway.yaml"


def install(bed: Bed) -> None:
    """Have it all installed and ready; what is there already stays as it is."""
    bed.apply(_GATEWAY)  # its proxy starts while the images are loaded
    with step("images of the operator and of the model server"):
        model_server, operator = images.build_ours("model-server"), _operator_image()
        with ThreadPoolExecutor() as threads:
            list(threads.map(bed.load_image, (model_server, operator)))
    with step("Gateway"):
        bed.kubectl("wait", "--namespace=gateways", "gateway/models", "--for=condition=Programmed", "--timeout=120s")
    with step("operator, from its chart"):
        _have_namespace(bed)
        # The tag is always the same: the name of the tar tells one build from the next.
        helm_upgrade(bed, f"podAnnotations.build={operator.stem}")


def helm_upgrade(bed: Bed, *settings: str) -> None:
    """Install the chart, or upgrade it with further settings (of strings), and wait until the operator is ready.

    What earlier upgrades have set stays. Raises BedError, with the operator's log.
    """
    ours = (f"image.repository={_OPERATOR_IMAGE}", "image.tag=bed", f"prometheus.url={bed.prometheus_url_for_pods}")
    # Strings all: `--set` would make a number of a build's digest that happens to have no letter.
    values = (f"--set-string={setting}" for setting in (*ours, *settings))
    how = ("--reset-then-reuse-values", "--wait", "--timeout=2m")
    try:
        helm.upgrade(bed, RELEASE, str(CHART), *values, *how, namespace=NAMESPACE)
    except BedError as error:
        raise BedError(f"{error}\n{operator_log(bed)}") from error


def operator_log(bed: Bed, *, lines: int = 60) -> str:
    """The end of the log of each replica of the operator, of its last crash too."""
    return "\n".join(_log(bed, lines, previous) for previous in ("true", "false"))


def _log(bed: Bed, lines: int, previous: str) -> str:
    replicas = (f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/instance={RELEASE}", "--prefix")
    options = (*replicas, "--ignore-errors", f"--tail={lines}", f"--previous={previous}")
    try:
        return bed.kubectl("logs", *options)
    except BedError as error:
        return f"({error})"


def _operator_image() -> Path:
    return images.build(REPOSITORY / "Dockerfile", REPOSITORY, f"{_OPERATOR_IMAGE}:bed")


def _have_namespace(bed: Bed) -> None:
    """The operator's namespace takes no pod that could harm its node."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": NAMESPACE, "labels": labels}
    bed.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
