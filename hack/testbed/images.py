"""Container images, built from ordinary Dockerfiles: by Docker where it runs, by buildah where it does not.

An image is kept as a tar, named after everything that went into it. A Dockerfile that says `ARG BASE` gets, without
Docker, a base image that is installed with debootstrap; with Docker, it gets what the Dockerfile says.
"""

import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from . import debian, gobuild
from .commands import run, succeeds
from .contexts import digest_of
from .errors import BedError
from .locks import BusyError, exclusive
from .mounts import unmount_below
from .paths import IMAGES, MACHINE, cache_folder
from .progress import step

BASE = f"localhost/debian-python:{debian.RELEASE}"
_KEPT_PER_IMAGE = 3
# What a build needs of this machine's pip settings to reach the package index; none of it gets into the image.
_PIP_SETTINGS = ("index-url", "extra-index-url", "proxy", "retries", "timeout", "trusted-host")
_CERTIFICATES = Path("/etc/ssl/certs")


def docker_works() -> bool:
    """Whether there is a Docker engine, and not only its client."""
    return bool(shutil.which("docker")) and succeeds("docker", "info")


def build(dockerfile: Path, context: Path, tag: str, *, build_args: Mapping[str, str] | None = None) -> Path:
    """Build an image, unless that was done before with the same inputs; returns its tar."""
    if not re.fullmatch(r"localhost/[a-z0-9]+([._/-][a-z0-9]+)*:[A-Za-z0-9._-]+", tag):
        raise BedError(f"{tag!r} is no tag for an image of a bed", fix="localhost/NAME:VERSION")
    with_docker = docker_works()
    arguments = dict(build_args or {})
    inputs = [tag, str(with_docker), json.dumps(arguments, sort_keys=True), digest_of(dockerfile, context)]
    if not with_docker and "BASE" not in arguments and re.search(r"^ARG BASE\b", dockerfile.read_text(), re.M):
        arguments["BASE"] = BASE
        inputs.append(_base_key())
    key = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:16]
    folder = cache_folder() / "images" / re.sub(r"[/:]", "_", tag.removeprefix("localhost/"))
    tar = folder / f"{key}.tar"
    # One build at a time: what an interrupted one left can then be told from what a running one needs.
    with exclusive(_lock()):
        if not tar.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with step(f"building image {tag}"):
                new = folder / "partial.tar"
                new.unlink(missing_ok=True)
                build_tar = _build_with_docker if with_docker else _build_with_buildah
                build_tar(dockerfile, context, tag, arguments, new)
                new.rename(tar)
            _remove_older(folder, tar)
    return tar


def build_ours(name: str) -> Path:
    """Build an image of hack/images; one of a Go program gets that program as its context."""
    folder = IMAGES / name
    dockerfile = folder / "Dockerfile"
    if not dockerfile.exists():
        raise BedError(f"there is no {dockerfile}")
    if not any(name in module.programs for module in gobuild.MODULES):
        return build(dockerfile, folder, f"localhost/{name}:bed")
    program = gobuild.program(name)
    context = program.parent / "contexts" / name
    context.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (context / name).hardlink_to(program)
    return build(dockerfile, context, f"localhost/{name}:bed")


def _build_with_docker(dockerfile: Path, context: Path, tag: str, arguments: Mapping[str, str], tar: Path) -> None:
    flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    run("docker", "build", "--tag", tag, "--file", dockerfile, *flags, context)
    run("docker", "save", "--output", tar, tag)


def _build_with_buildah(dockerfile: Path, context: Path, tag: str, arguments: Mapping[str, str], tar: Path) -> None:
    debian.install(debian.IMAGE_PACKAGES)
    _remove_interrupted()
    if arguments.get("BASE") == BASE:
        _have_base()
    flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as pip_settings:
        pip_settings.write(_pip_settings())
        pip_settings.flush()
        flags.append(f"--volume={pip_settings.name}:/etc/pip.conf:ro")
        if _CERTIFICATES.exists():
            flags.append(f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro")
        _buildah(
            "build", "--isolation=chroot", "--layers", "--tag", tag, "--file", str(dockerfile), *flags, str(context)
        )
    _buildah("push", "--quiet", tag, f"docker-archive:{tar}:{tag}")
    # Layers of what had this tag before.
    _buildah("rmi", "--prune")


def _remove_older(folder: Path, tar: Path) -> None:
    others = sorted((path for path in folder.glob("*.tar") if path != tar), key=lambda path: path.stat().st_mtime)
    for old in others[: 1 - _KEPT_PER_IMAGE]:
        old.unlink()


def _have_base() -> None:
    """Install the base image, unless the image store has it."""
    wanted = f"{BASE}-{_base_key()}"
    if not _buildah("images", "--quiet", "--filter", f"reference={wanted}").strip():
        with step(f"installing {BASE}"):
            scratch = _scratch()
            debian.root_file_system(scratch / "root")
            (scratch / "Dockerfile").write_text("FROM scratch\nCOPY root /\n")
            _buildah("build", "--tag", wanted, str(scratch))
            run("rm", "-rf", "--one-file-system", scratch)
    _buildah("tag", wanted, BASE)


def _base_key() -> str:
    made_of = repr((debian.RELEASE, debian.BASE_PACKAGES, debian.BASE_LEAVES_OUT))
    return hashlib.sha256(made_of.encode()).hexdigest()[:12]


def remove_interrupted() -> None:
    """Remove the containers, the files and the mounts that a killed build left; does nothing while one is at work."""
    with suppress(BusyError), exclusive(_lock(), wait=False):
        _remove_interrupted()


def _remove_interrupted() -> None:
    unmount_below(_scratch())
    run("rm", "-rf", "--one-file-system", _scratch())
    if (cache_folder() / "buildah").exists():
        _buildah("rm", "--all")


def _scratch() -> Path:
    return cache_folder() / "base-image-partial"


def _lock() -> Path:
    return cache_folder() / "locks" / "images"


def _pip_settings() -> str:
    """This machine's settings for pip, with the certificates that are mounted into the build."""
    settings = {"cert": f"{_CERTIFICATES}/ca-certificates.crt"} if _CERTIFICATES.exists() else {}
    # Those of the environment come last, as they do in pip.
    for line in sorted(_pip_config().splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS:
            settings[setting] = value.strip("'")
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])


def _pip_config() -> str:
    # The environment that runs this may have been made without pip.
    for pip in ((sys.executable, "-m", "pip"), ("pip3",)):
        if shutil.which(pip[0]) and succeeds(*pip, "--version"):
            return run(*pip, "config", "list")
    return ""


def _buildah(*args: str) -> str:
    store = cache_folder() / "buildah"
    # On a file system that a restart of the machine empties, as its record of mounts must be; one for each store.
    run_folder = MACHINE / f"buildah-{hashlib.sha256(bytes(store)).hexdigest()[:8]}"
    return run("buildah", f"--root={store}", f"--runroot={run_folder}", "--storage-driver=overlay", *args)
