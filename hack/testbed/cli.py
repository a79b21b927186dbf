"""The command line: `PYTHONPATH=hack python -m testbed --help`."""

import subprocess
import sys
from pathlib import Path

import click

from . import beds, gobuild, images, state
from .daemons import Daemon
from .errors import BedError
from .paths import IMAGES
from .state import Profile
from .waiting import tail

NAME = click.option("--name", default=None, help="Which bed; the default is named after the profile: light or full.")


class _Group(click.Group):
    """Shows what went wrong and what to do about it, without a stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BedError as error:
            raise click.ClickException(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise click.ClickException(f"{' '.join(map(str, error.cmd))} failed: {error.stderr}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Real Kubernetes clusters on this machine, for tests and the demo; several at a time.

    \b
    light   a control plane whose one node is played by kwok: ready in seconds, needs Linux and Go
    full    a node that runs pods, Services, DNS, Envoy Gateway, Prometheus: needs Docker, or root on Debian 12

    What it runs is built from source once per version and kept in ~/.cache/modelrollout-testbed.
    """


@main.command()
@click.option("--profile", type=click.Choice(["light", "full"]), default="light", show_default=True)
@NAME
@click.option("--scrape-interval", default="1s", show_default=True, help="Of the Prometheus of a full bed.")
def up(profile: Profile, name: str | None, scrape_interval: str) -> None:
    """Start a bed, or repair one that is not whole; prints its kubeconfig."""
    bed = beds.up(profile, name or profile, scrape_interval=scrape_interval)
    click.echo(bed.kubeconfig)


@main.command()
@NAME
@click.option("--all", "everything", is_flag=True, help="All beds of this clone, and what a deleted clone left behind.")
def down(name: str | None, everything: bool) -> None:
    """Remove a bed: its processes, mounts, network and state."""
    if everything == bool(name):
        raise click.UsageError("say either --name NAME or --all")
    if everything:
        beds.down_all()
    elif name:
        beds.down(name)


@main.command()
def status() -> None:
    """The beds of this clone and what runs in them."""
    rows = [("BED", "PROFILE", "API SERVER", "PROMETHEUS", "NOT RUNNING")]
    for name in state.names():
        known = state.load(name)
        if not known:
            rows.append((name, "half made", "-", "-", "-"))
            continue
        bed = beds.find(name)
        running = bed.running()
        dead = [program for program, is_running in running.items() if not is_running]
        prometheus = bed.prometheus_url if running.get("prometheus") else "-"
        rows.append((name, known.profile, bed.api_url, prometheus, ", ".join(dead) or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@main.command()
@click.argument("component")
@NAME
@click.option("--lines", default=100, show_default=True)
@click.option("--follow", "-f", is_flag=True)
def logs(component: str, name: str | None, lines: int, follow: bool) -> None:
    """The log of one program of a bed, such as kube-apiserver."""
    log = Daemon(component, beds.find(_only(name)).folder).log
    if not log.exists():
        raise BedError(f"no log {log}: there are {', '.join(sorted(file.stem for file in log.parent.glob('*.log')))}")
    if follow:
        sys.exit(subprocess.call(["tail", "-n", str(lines), "-f", str(log)]))
    click.echo(tail(log, lines))


@main.command()
@click.argument("user", default="admin")
@NAME
def kubeconfig(user: str, name: str | None) -> None:
    """Print the path of the kubeconfig of a user: admin, or operator, who may do nothing until RBAC says so."""
    click.echo(beds.find(_only(name)).kubeconfig_for(user))


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@NAME
def kubectl(args: tuple[str, ...], name: str | None) -> None:
    """Run kubectl as the administrator of a bed."""
    credentials = beds.find(_only(name)).kubeconfig
    sys.exit(subprocess.call([gobuild.program("kubectl"), f"--kubeconfig={credentials}", *args]))


@main.command()
@click.argument("component")
@NAME
def stop(component: str, name: str | None) -> None:
    """Kill one program of a bed, to see what the rest makes of it."""
    beds.find(_only(name)).stop(component)


@main.command()
@click.argument("component")
@NAME
def start(component: str, name: str | None) -> None:
    """Start a program that was stopped."""
    beds.find(_only(name)).start(component)


@main.command()
@click.option("--profile", type=click.Choice(["light", "full"]), default="full", show_default=True)
def build(profile: Profile) -> None:
    """Only build what a bed of this profile needs."""
    beds.build(profile)


@main.command("build-image")
@click.option("--file", "dockerfile", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--context", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--tag", required=True, help="Under localhost/: localhost/NAME:VERSION.")
@click.option("--build-arg", "build_args", multiple=True, metavar="KEY=VALUE")
def build_image(dockerfile: Path, context: Path, tag: str, build_args: tuple[str, ...]) -> None:
    """Build an image with Docker or, where that is not, with buildah; prints the path of its tar. Cached."""
    pairs = dict(argument.split("=", 1) for argument in build_args)
    click.echo(images.build(dockerfile, context, tag, build_args=pairs))


@main.command("image")
@click.argument("name", type=click.Choice(sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))))
def image(name: str) -> None:
    """Build one of the images in hack/images, such as model-server; prints the path of its tar. Cached."""
    click.echo(images.build_ours(name))


@main.command("load-image")
@click.argument("tar", type=click.Path(exists=True, path_type=Path))
@NAME
def load_image(tar: Path, name: str | None) -> None:
    """Put an image into a full bed."""
    beds.find(_only(name)).load_image(tar)


def _only(name: str | None) -> str:
    """The bed that is meant: the one named, or the only one there is."""
    there = state.names()
    if name:
        return name
    if len(there) == 1:
        return there[0]
    raise BedError(f"say which bed with --name: there are {', '.join(there) or 'none'}")
