"""The name of a ModelRollout as an argument, and what the shell may complete."""

import click

from modelrollout.cli.cluster import ROLLOUTS, Access, Cluster, connect
from modelrollout.engine.stages import expand


def rollout_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names in the namespace that begin so; none if the cluster cannot be asked."""
    try:
        found = _cluster(ctx).objects(ROLLOUTS)
    except click.ClickException:
        return []
    return [name for one in found if (name := one["metadata"]["name"]).startswith(incomplete)]


def stage_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of the stages of the ModelRollout that was named before."""
    # an option without its value ends the parsing: what was not an option until there is still among the arguments
    name = ctx.params.get("name") or next(iter(ctx.args), None)
    if name is None:
        return []
    try:
        rollout = _cluster(ctx).rollout(name)
    except click.ClickException:
        return []
    return [stage.name for stage in expand(rollout.spec) if stage.name.startswith(incomplete)]


def _cluster(ctx: click.Context) -> Cluster:
    return connect(Access(*(ctx.params.get(name) for name in ("namespace", "context", "kubeconfig"))))


rollout_argument = click.argument("name", shell_complete=rollout_names)
