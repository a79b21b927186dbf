"""`get`: the ModelRollouts of a namespace, one a line."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table
from rich.text import Text

from modelrollout.api.rollout import ModelRollout
from modelrollout.cli.cluster import ROLLOUTS, Cluster, on_cluster, parsed
from modelrollout.cli.names import rollout_names
from modelrollout.cli.outlook import waits_for
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.styles import PHASES, VERDICTS
from modelrollout.cli.times import rough

_COLUMNS = ("NAME", "VERSION", "PHASE", "STAGE", "WEIGHT", "VERDICT", "AGE")


@click.command()
@click.argument("name", required=False, shell_complete=rollout_names)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Those of all namespaces.")
@output_option
@on_cluster
def get(cluster: Cluster, name: str | None, everywhere: bool, output: str) -> None:
    """List ModelRollouts: where each is, and what it waits for.

    WEIGHT is the share of the requests that the candidate gets, and the one that its stage declares.
    """
    if name and everywhere:
        raise click.UsageError("name one ModelRollout, or ask for all namespaces")
    found = [cluster.read(ROLLOUTS, name)] if name else cluster.objects(ROLLOUTS, everywhere=everywhere)
    if output != "table":
        print_data(found[0] if name else {"apiVersion": "v1", "kind": "List", "items": found}, output)
    elif found:
        console().print(table([parsed(one) for one in found], datetime.now(UTC), with_namespace=everywhere))
    else:
        click.echo("no ModelRollouts" + ("" if everywhere else f" in namespace {cluster.namespace}"), err=True)


def table(rollouts: Sequence[ModelRollout], now: datetime, *, with_namespace: bool) -> Table:
    """The ModelRollouts as a table."""
    shown = Table(box=None, pad_edge=False, header_style="", expand=True)
    for column in (*(("NAMESPACE",) if with_namespace else ()), *_COLUMNS):
        shown.add_column(column, no_wrap=True)
    shown.add_column("WAITING FOR", no_wrap=True, overflow="ellipsis", ratio=1)
    for rollout in rollouts:
        where = (rollout.metadata["namespace"],) if with_namespace else ()
        shown.add_row(*where, *_row(rollout, now))
    return shown


def _row(rollout: ModelRollout, now: datetime) -> list[str | Text]:
    status = rollout.status
    stage, weights = status.stage, status.weights
    created = datetime.fromisoformat(rollout.metadata["creationTimestamp"])
    return [
        rollout.metadata["name"],
        status.version or rollout.spec.model.version,
        Text(status.phase, PHASES[status.phase]),
        f"{stage.name} {stage.index + 1}/{stage.count}" if stage else "",
        f"{weights.observed:g}/{weights.declared}" if status.candidate else "",
        Text(status.verdict, VERDICTS.get(status.verdict, "")),
        rough(now - created),
        Text(waits_for(rollout)),
    ]
