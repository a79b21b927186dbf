"""`wait`: until a ModelRollout is somewhere; the answer is the exit code."""

import click

from modelrollout.cli.cluster import ROLLOUTS, Cluster, on_cluster, parsed
from modelrollout.cli.durations import DURATION
from modelrollout.cli.exits import TimedOutError
from modelrollout.cli.goals import GOALS, Answer, Goal, in_stage
from modelrollout.cli.names import rollout_argument
from modelrollout.cli.outlook import waits_for
from modelrollout.engine.stages import expand

_STAGE = "stage="


@click.command()
@rollout_argument
@click.option(
    "--for",
    "goal",
    required=True,
    help=f"What to wait for: {', '.join(GOALS)} or {_STAGE}NAME.",
    metavar="WHAT",
    shell_complete=lambda _ctx, _param, incomplete: [one for one in (*GOALS, _STAGE) if one.startswith(incomplete)],
)
@click.option("--timeout", type=DURATION, help="Longest wait; for ever by default.")
@on_cluster
def wait(cluster: Cluster, name: str, goal: str, timeout: float | None) -> None:
    """Wait until a ModelRollout is somewhere, and say so by the exit code.

    \b
    promoted    the version of the spec serves (opposite: it was taken back)
    reverted    the newest attempt was taken back (opposite: it serves)
    idle        nothing is under way (opposite: a version was taken back)
    ready       stable serves and nothing needs a person
    stage=NAME  the stage is reached, or passed (opposite: the version was taken back)

    A version that is tried again by itself (spec.retry) is not the opposite yet. Exit code 0: reached; 1: the opposite
    was reached, or the ModelRollout is gone; 124: timed out.
    """
    wanted = _goal(cluster, name, goal)
    waiting = ""
    for found in cluster.follow(ROLLOUTS, name, seconds=timeout):
        if found is None:
            raise click.ClickException(f"{name} was deleted")
        rollout = parsed(found)
        waiting = waits_for(rollout)
        match wanted(rollout):
            case Answer.REACHED:
                click.echo(f"{name}: {goal}")
                return
            case Answer.OPPOSITE:
                raise click.ClickException(f"{name} does not get {goal}: {waiting or rollout.status.phase}")
    raise TimedOutError(f"{name} is not {goal} within {timeout:g} s: {waiting or 'it waits for nothing'}")


def _goal(cluster: Cluster, name: str, goal: str) -> Goal:
    if goal in GOALS:
        return GOALS[goal]
    if not goal.startswith(_STAGE):
        raise click.BadParameter(f"choose from {', '.join(GOALS)} and {_STAGE}NAME", param_hint="--for")
    stage, stages = goal.removeprefix(_STAGE), [one.name for one in expand(cluster.rollout(name).spec)]
    if stage not in stages:
        raise click.BadParameter(f"{name} has the stages {', '.join(stages)}", param_hint="--for")
    return in_stage(stage)
