"""The manifests for kustomize say the same as the chart."""

from pathlib import Path

import yaml

from generate import manifests

ROOT = Path(__file__).parents[3]


def resources(kustomization: Path) -> list[str]:
    listed: list[str] = yaml.safe_load(kustomization.read_text())["resources"]
    return listed


def test_the_operator_is_what_the_chart_renders() -> None:
    assert manifests.OPERATOR.read_text() == manifests.operator(), "run `make manifests`"


def test_nothing_in_it_claims_to_be_installed_by_helm() -> None:
    assert "helm" not in manifests.operator().lower()


def test_everything_lands_in_the_namespace_that_is_made_for_it() -> None:
    namespace = yaml.safe_load((ROOT / "manifests" / "namespace.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in yaml.safe_load_all(manifests.operator()):
        if not one["kind"].startswith(("ClusterRole", "ValidatingAdmissionPolicy")):
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]


def test_every_crd_is_listed() -> None:
    assert resources(ROOT / "crds" / "Kustomization") == sorted(path.name for path in (ROOT / "crds").glob("*.yaml"))


def test_every_manifest_is_listed() -> None:
    files = {path.name for path in (ROOT / "manifests").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(resources(ROOT / "manifests" / "kustomization.yaml")) == files | {"../crds"}
