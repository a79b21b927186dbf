"""What the release before this one leaves in a cluster: its chart as rendered, and a rollout in the middle of a stage.

`python -m support.previous_release CHECKOUT` records it anew, on a light bed: CHECKOUT is the tree of that release, as
`git worktree add CHECKOUT COMMIT` makes it. Its operator is run, and killed once version 2.0.0 has a fifth of the
requests. Of every object is kept what that operator wrote, and nothing that others added.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from kubernetes.config import new_client_from_config

import testbed
from cluster.gateway_controller import accepting_routes
from stack.operator_process import running
from stack.rollout import Rollout
from stack.served import steps
from testbed.helm import helm

FOLDER = Path(__file__).parents[1] / "cluster" / "previous_release"
RELEASE = "modelrollout"
RELEASED_IN = "modelrollout"
"""Its namespace."""
NAMESPACE = "models"
NAME = "scorer"

_MANAGER = "modelrollout"
_KINDS = ("deployments", "services", "httproutes")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Object = dict[str, Any]


def chart(folder: Path) -> Path:
    """The release as a chart that helm can install, made in a folder."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {RELEASE}\nversion: 0.0.1\n")
    (folder / "templates" / "release.yaml").write_text((FOLDER / "release.yaml").read_text())
    return folder


def rollout() -> Object:
    """The ModelRollout with its status, of which the newest moment is now."""
    recorded = _read("rollout.yaml")[0]
    text = json.dumps(recorded)
    newest = max(_parsed(moment[0]) for moment in _MOMENT.finditer(text))
    later = datetime.now(UTC) - newest
    moved: Object = json.loads(_MOMENT.sub(lambda moment: _written(_parsed(moment[0]) + later), text))
    return moved


def children() -> list[Object]:
    """Deployments, Services and the HTTPRoute, as that operator applies them."""
    return _read("children.yaml")


def known(status: Object) -> Object:
    """A status without what that release knew nothing of, and so would not write again."""
    crds = (one for one in _read("release.yaml") if one["kind"] == "CustomResourceDefinition")
    schema = next(crds)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    kept: Object = _known(status, schema["properties"]["status"])
    return kept


def _known(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_known(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    fields = schema["properties"]
    return {name: _known(inner, fields[name]) for name, inner in value.items() if name in fields}


def _read(name: str) -> list[Object]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def _parsed(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@click.command()
@click.argument("checkout", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(checkout: Path) -> None:
    """Record what the release in CHECKOUT leaves in a cluster."""
    with testbed.temporary("light", "previous") as bed, tempfile.TemporaryDirectory() as logs:
        for namespace in (RELEASED_IN, NAMESPACE):
            bed.kubectl("create", "namespace", namespace)
        release = helm(bed, "template", RELEASE, str(checkout / "charts" / RELEASE), f"--namespace={RELEASED_IN}")
        bed.apply(release)
        bed.kubectl("create", "clusterrolebinding", "operator", f"--clusterrole={RELEASE}", "--user=operator")
        _roll_out_half_way(bed, checkout, Path(logs))
        live = bed.get("-n", NAMESPACE, "--show-managed-fields", "modelrollout", NAME)
        children = [
            _written_by(_MANAGER, one)
            for one in bed.get("-n", NAMESPACE, "--show-managed-fields", ",".join(_KINDS))["items"]
        ]
    rollout = _written_by("test", live)
    rollout["metadata"]["finalizers"] = live["metadata"]["finalizers"]
    rollout["status"] = live["status"]
    _write("release.yaml", release)
    _write("rollout.yaml", yaml.safe_dump(rollout, sort_keys=False))
    _write("children.yaml", yaml.safe_dump_all(children, sort_keys=False))


def _roll_out_half_way(bed: testbed.Bed, checkout: Path, logs: Path) -> None:
    with (
        new_client_from_config(str(bed.kubeconfig)) as client,
        accepting_routes(bed, client, NAMESPACE),
        running(bed, logs, checkout=checkout),
    ):
        traffic = {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}
        rollout = Rollout(bed, client, NAMESPACE, NAME, traffic=traffic, strategy=steps(20, 50, 100, hold="4s"))
        rollout.apply("1.0.0")
        rollout.serves("1.0.0")
        rollout.apply("2.0.0")
        rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")


def _written_by(manager: str, live: Object) -> Object:
    """An object with those fields alone that somebody has applied."""
    entries = live["metadata"]["managedFields"]
    fields = next(one["fieldsV1"] for one in entries if (one["manager"], one["operation"]) == (manager, "Apply"))
    owned = _owned(live, fields)
    metadata = {"name": live["metadata"]["name"], **owned.pop("metadata", {})}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, **owned}


def _owned(value: Any, fields: Mapping[str, Any]) -> Any:
    """A part of an object without what is not in a set of fields, in the form in which the API server keeps such."""
    inside = {name[2:]: further for name, further in fields.items() if name[:2] in ("f:", "k:")}
    if not inside:
        return value
    if isinstance(value, dict):
        return {name: _owned(value[name], further) for name, further in inside.items()}
    keyed = [(json.loads(keys), further) for keys, further in inside.items()]
    return [_owned(item, further) for item in value for keys, further in keyed if keys.items() <= item.items()]


def _write(name: str, text: str) -> None:
    header = "# Recorded by `python -m support.previous_release CHECKOUT`; do not edit.\n"
    (FOLDER / name).write_text(header + text)
    click.echo(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
