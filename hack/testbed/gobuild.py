"""The Go programs of a bed, built from the modules in hack/tools and kept outside of the repository.

A folder of built programs is named after everything that went into it, so a fresh clone finds what an older one built,
and a version bump rebuilds only the module it is in.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .commands import ENDS_WITH_US, run
from .errors import BedError
from .locks import exclusive
from .paths import TOOLS, cache_folder
from .progress import say, step
from .waiting import tail


@dataclass(frozen=True)
class Module:
    """One module of hack/tools: its programs by name, and the versions stamped into them."""

    name: str
    programs: Mapping[str, str]
    # Variable to stamp → the required module whose version goes there, and in what form.
    stamps: Mapping[str, tuple[str, str]]

    @property
    def folder(self) -> Path:
        """Where its go.mod is."""
        return TOOLS / self.name

    def version_of(self, required: str) -> str:
        """The version that go.mod asks for."""
        found = re.search(rf"^(?:require)?\s*{re.escape(required)} v(\S+)", (self.folder / "go.mod").read_text(), re.M)
        if not found:
            raise BedError(f"{self.folder}/go.mod does not require {required}")
        return found[1]

    def ldflags(self) -> str:
        """Small binaries that know their version: `v0.0.0-master+$Format:%H$` is refused by helm, for one."""
        stamps = []
        for name, (required, form) in self.stamps.items():
            version = self.version_of(required)
            major, minor, *_ = version.split(".")
            stamps.append(f"-X {name}={form.format(version, major=major, minor=minor)}")
        return " ".join(["-s -w", *stamps])

    @functools.cached_property
    def built(self) -> Path:
        """The folder of its programs, named after their sources, versions, flags and the compiler."""
        digest = hashlib.sha256()
        for path in sorted([*self.folder.glob("go.*"), *self.folder.rglob("*.go")]):
            digest.update(f"{path.relative_to(self.folder)}\0".encode() + path.read_bytes())
        digest.update(f"{self.ldflags()}\0{go_version()}".encode())
        return cache_folder() / "bin" / f"{self.name}-{digest.hexdigest()[:16]}"


_KUBERNETES = "k8s.io/kubernetes"
_VERSION = "k8s.io/component-base/version"
_GATEWAY = "github.com/envoyproxy/gateway"
_KWOK = "sigs.k8s.io/kwok"
_CONTAINERD = "github.com/containerd/containerd/v2"

MODULES = (
    Module(
        "kubernetes",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kwok": f"{_KWOK}/cmd/kwok",
            "coredns": "./cmd/coredns",
            "pause": "./cmd/pause",
            **{
                name: f"{_KUBERNETES}/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kubectl",
                    "kubelet",
                    "kube-proxy",
                )
            },
        },
        {
            f"{_VERSION}.gitVersion": (_KUBERNETES, "v{}"),
            f"{_VERSION}.gitMajor": (_KUBERNETES, "{major}"),
            f"{_VERSION}.gitMinor": (_KUBERNETES, "{minor}"),
        },
    ),
    Module(
        "containerd",
        {name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        {f"{_CONTAINERD}/version.Version": (_CONTAINERD, "{}")},
    ),
    Module(
        "gateway",
        {"envoy-gateway": f"{_GATEWAY}/cmd/envoy-gateway", "helm": "helm.sh/helm/v4/cmd/helm"},
        {
            f"{_GATEWAY}/internal/cmd/version.envoyGatewayVersion": (_GATEWAY, "v{}"),
            "helm.sh/helm/v4/internal/version.version": ("helm.sh/helm/v4", "v{}"),
        },
    ),
    Module("kind", {"kind": "sigs.k8s.io/kind"}, {}),
    Module("kstatus", {name: f"./cmd/{name}" for name in ("kstatus", "flux-health")}, {}),
)


def program(name: str) -> Path:
    """The path of a program, built now if it was not before."""
    return programs([name])[name]


def programs(wanted: Iterable[str]) -> dict[str, Path]:
    """The paths of the programs, after building those that are missing."""
    names = set(wanted)
    paths: dict[str, Path] = {}
    for module in MODULES:
        mine = sorted(names & module.programs.keys())
        if mine:
            _build_missing(module, mine)
            paths |= {name: module.built / name for name in mine}
    return paths


def gateway_chart() -> Path:
    """The chart of Envoy Gateway, CRDs of the Gateway API included."""
    return _files("gateway", _GATEWAY, "charts/gateway-helm")


def gateway_version() -> str:
    """The version of Envoy Gateway, as its images are tagged."""
    return f"v{_module('gateway').version_of(_GATEWAY)}"


def kwok_stages() -> Path:
    """What kwok can play: how nodes and pods go from one state to the next."""
    return _files("kubernetes", _KWOK, "kustomize/stage")


@functools.cache
def go_version() -> str:
    """The version of the compiler, which is as much an input of a build as the sources are.

    Raises:
        BedError: it is too old for one of the modules, or there is none.
    """
    version = _go("env", "GOVERSION", folder=TOOLS)
    if _numbers(version) < _numbers(needed_go()):
        raise _wrong_go(f"this is {version}")
    return version


def needed_go() -> str:
    """The least version of Go with which every module can be built."""
    texts = (path.read_text() for path in TOOLS.glob("*/go.mod"))
    return max((found[1] for text in texts if (found := re.search(r"^go (\S+)$", text, re.M))), key=_numbers)


def _build_missing(module: Module, names: list[str]) -> None:
    if all((module.built / name).exists() for name in names):
        return
    with exclusive(cache_folder() / "locks" / module.name):
        built = module.built
        missing = [name for name in names if not (built / name).exists()]
        if not missing:
            return
        built.mkdir(parents=True, exist_ok=True)
        with step(f"building {', '.join(missing)} (once per version; minutes when nothing is cached)"):
            partial = _empty_folder(built / "partial")
            _build(module, missing, partial)
            # Each appears at once and whole, so that an interrupted build leaves nothing that looks like a program.
            for name in missing:
                (partial / name).rename(built / name)
            shutil.rmtree(partial)


def _build(module: Module, names: list[str], target: Path) -> None:
    """Build several programs in one go: a linker uses one core only, and others can be compiled meanwhile."""
    started = time.monotonic()
    # go names a program after the last element of its path, and leaves out a version.
    own_names = {Path(re.sub(r"/v\d+$", "", module.programs[name])).name: name for name in names}
    command = ["go", "build", "-trimpath", "-ldflags", module.ldflags(), "-o", f"{target}/"]
    log = target / "go.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*ENDS_WITH_US, *command, *(module.programs[name] for name in names)],
            cwd=module.folder,
            env={**os.environ, "CGO_ENABLED": "0"},
            stderr=output,
        ) as build,
    ):
        done: set[str] = set()
        try:
            while build.poll() is None:
                for file in target.iterdir():
                    if file.name in own_names and file.name not in done:
                        done.add(file.name)
                        elapsed = time.monotonic() - started
                        say(f"  {own_names[file.name]}: {len(done)} of {len(names)}, {elapsed:.0f} s")
                with suppress(subprocess.TimeoutExpired):
                    build.wait(timeout=1)
        except BaseException:
            build.terminate()
            raise
    if build.returncode:
        raise BedError(f"go build failed in {module.folder}\n{tail(log, 40)}")
    for own, name in own_names.items():
        (target / own).rename(target / name)


def _wrong_go(found: str) -> BedError:
    return BedError(f"Go {needed_go()} or newer is needed, {found}", fix="install it and have `go` on the PATH")


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers in `1.26.7`, `go1.26.7` or `go1.27rc1`, for comparing."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(number or 0) for number in found.groups()) if found else ()


def _module(name: str) -> Module:
    return next(module for module in MODULES if module.name == name)


def _files(module_name: str, required: str, folder: str) -> Path:
    """A folder that a Go module carries beside its sources, copied next to the programs."""
    module = _module(module_name)
    target = module.built / Path(folder).name
    if target.exists():
        return target
    with exclusive(cache_folder() / "locks" / module.name):
        if target.exists():
            return target
        found = _go("mod", "download", "-json", f"{required}@v{module.version_of(required)}", folder=module.folder)
        partial = _empty_folder(module.built / "partial")
        copy = partial / "files"
        shutil.copytree(Path(json.loads(found)["Dir"]) / folder, copy, copy_function=shutil.copyfile)
        # Folders of the module cache are read-only, and so are copies of them; these must be removable.
        for path in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        copy.rename(target)
        shutil.rmtree(partial)
    return target


def _empty_folder(folder: Path) -> Path:
    """Make room for something that is not whole yet, over what an interrupted build left there."""
    if folder.exists():
        run("chmod", "-R", "u+w", folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _go(*args: str, folder: Path) -> str:
    if not shutil.which("go"):
        raise _wrong_go("there is none")
    return run("go", *args, cwd=folder).strip()
