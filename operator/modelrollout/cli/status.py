"""`status`: one ModelRollout on one screen, once or live."""

import click
from rich.console import Console
from rich.live import Live

from modelrollout.cli.cluster import ROLLOUTS, Cluster, on_cluster, parsed
from modelrollout.cli.exits import Exit
from modelrollout.cli.goals import Answer, promoted
from modelrollout.cli.names import rollout_argument
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.screen import Screen


@click.command()
@rollout_argument
@click.option("-w", "--watch", "live", is_flag=True, help="Keep showing it until its attempt is decided.")
@output_option
@on_cluster
@click.pass_context
def status(ctx: click.Context, cluster: Cluster, name: str, live: bool, output: str) -> None:
    """Show all that matters of one ModelRollout on one screen.

    With --watch the screen is live, and ends when the version of the spec serves (exit code 0) or was taken back and is
    not tried again by itself (exit code 1).
    """
    if output != "table":
        if live:
            raise click.UsageError("--watch is for people; programs have `wait`")
        print_data(cluster.read(ROLLOUTS, name), output)
    elif live:
        ctx.exit(watch(cluster, name, console()))
    else:
        console().print(Screen(cluster.rollout(name)))


def watch(cluster: Cluster, name: str, screen: Console) -> Exit:
    """Show it until it is decided; what is shown last stays."""
    with Live(console=screen, refresh_per_second=2) as live:
        for found in cluster.follow(ROLLOUTS, name):
            if found is None:
                raise click.ClickException(f"{name} was deleted")
            rollout = parsed(found)
            live.update(Screen(rollout))
            match promoted(rollout):
                case Answer.REACHED:
                    return Exit.DONE
                case Answer.OPPOSITE:
                    return Exit.FAILED
    raise AssertionError("without a limit it is followed until it is gone")
