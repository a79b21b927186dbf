"""What people ask for. Each verb writes a RolloutAction, which the operator applies once, or refuses with a reason."""

import click

from modelrollout.api.action import ActionKind
from modelrollout.api.spec import RevertMode
from modelrollout.api.status import ColourStatus
from modelrollout.cli.actions import Asker, asking, asking_twice
from modelrollout.cli.names import rollout_argument, stage_names

_stage_option = click.option(
    "--stage", help="Stage that is meant; the present one by default.", shell_complete=stage_names, metavar="NAME"
)
_mode_option = click.option(
    "--mode",
    type=click.Choice([mode.value for mode in RevertMode]),
    help="How to go back; as spec.rollback.mode says by default.",
)
_header_option = click.option(
    "--header",
    required=True,
    help="The cohort: requests with this header, such as x-ring=internal.",
    metavar="KEY=VALUE",
)


@click.command()
@rollout_argument
@click.option("--role", required=True, help="Role in which you approve, such as security.", metavar="NAME")
@_stage_option
@asking
def approve(asker: Asker, name: str, role: str, stage: str | None) -> None:
    """Approve a stage in a role.

    The stage is left once everybody whom it asks for has approved, and everything else that it requires is true. Who
    may approve in a role is decided by RBAC: the verb approve:ROLE on modelrollouts.
    """
    asker.ask(ActionKind.APPROVE, asker.cluster.rollout(name), role=role, stage=stage)


@click.command("sign-off")
@rollout_argument
@click.option("--item", required=True, help="Item of the checklist, such as runbook-reviewed.", metavar="NAME")
@_stage_option
@asking
def sign_off(asker: Asker, name: str, item: str, stage: str | None) -> None:
    """Sign an item of a stage's checklist off."""
    asker.ask(ActionKind.SIGN_OFF, asker.cluster.rollout(name), item=item, stage=stage)


@click.command()
@rollout_argument
@_stage_option
@asking
def advance(asker: Asker, name: str, stage: str | None) -> None:
    """Leave the present stage upwards now.

    Its hold and SLOs that are not decided yet do not count; breaches and missing approvals do.
    """
    asker.ask(ActionKind.ADVANCE, asker.cluster.rollout(name), stage=stage)


@click.command()
@rollout_argument
@asking_twice
def promote(asker: Asker, name: str) -> None:
    """Give the candidate all requests, past the stages that are left.

    Breaches and missing approvals are still in its way. A version that was taken back is prepared again, and then
    serves without stages.
    """
    rollout = asker.cluster.rollout(name)
    question = f"Give version {rollout.spec.model.version} of {name} all requests, past the stages that are left?"
    asker.ask(ActionKind.PROMOTE, rollout, question=question)


@click.command()
@rollout_argument
@asking
def retry(asker: Asker, name: str) -> None:
    """Try a version again that was taken back."""
    asker.ask(ActionKind.RETRY, asker.cluster.rollout(name))


@click.command()
@rollout_argument
@asking
def pause(asker: Asker, name: str) -> None:
    """Keep the candidate in its stage.

    It is judged all the same, and taken back if it does harm. resume ends the pause.
    """
    asker.ask(ActionKind.PAUSE, asker.cluster.rollout(name))


@click.command()
@rollout_argument
@asking
def resume(asker: Asker, name: str) -> None:
    """End a pause."""
    asker.ask(ActionKind.RESUME, asker.cluster.rollout(name))


@click.command()
@rollout_argument
@_header_option
@asking
def exclude(asker: Asker, name: str, header: str) -> None:
    """Keep the requests of a cohort on stable.

    Whatever the stage: requests with this header go to the stable version until include ends that. A version that is
    promoted is the stable one from then on, for them as for everybody.
    """
    asker.ask(ActionKind.EXCLUDE, asker.cluster.rollout(name), cohort=_cohort(header))


@click.command()
@rollout_argument
@_header_option
@asking
def include(asker: Asker, name: str, header: str) -> None:
    """Split the requests of a cohort again."""
    asker.ask(ActionKind.INCLUDE, asker.cluster.rollout(name), cohort=_cohort(header))


@click.command()
@rollout_argument
@_mode_option
@asking_twice
def abort(asker: Asker, name: str, mode: str | None) -> None:
    """Take the candidate back.

    Stable serves all requests again, and the candidate is not tried again until somebody asks for a retry or changes
    the spec.
    """
    rollout = asker.cluster.rollout(name)
    question = f"Take {_version(rollout.status.candidate)} of {name} back?"
    asker.ask(ActionKind.ABORT, rollout, question=question, mode=mode)


@click.command()
@rollout_argument
@click.option("--to", help="Version to go back to; the one before by default.", metavar="VERSION")
@_mode_option
@asking_twice
def revert(asker: Asker, name: str, to: str | None, mode: str | None) -> None:
    """Go back to the version before, or to one that is named.

    While a candidate is under way, it is taken back; after a promotion, the version before serves again, as with undo.
    """
    rollout = asker.cluster.rollout(name)
    question = f"Take {name} back to {f'version {to}' if to else 'the version before'}?"
    asker.ask(ActionKind.REVERT, rollout, question=question, to=to, mode=mode)


@click.command()
@rollout_argument
@_mode_option
@asking_twice
def undo(asker: Asker, name: str, mode: str | None) -> None:
    """Take a promotion back.

    The version before serves again: at once while it is kept warm (spec.rollback.keepWarm), and later by being rolled
    out again, stage by stage, from the history. While a candidate is under way there is nothing to undo; abort takes it
    back.
    """
    rollout = asker.cluster.rollout(name)
    if candidate := rollout.status.candidate:
        raise click.UsageError(f"{_version(candidate)} is under way and was not promoted: use abort to take it back")
    question = f"Take the promotion of {_version(rollout.status.stable)} of {name} back?"
    asker.ask(ActionKind.REVERT, rollout, question=question, mode=mode)


@click.command()
@rollout_argument
@asking_twice
def kill(asker: Asker, name: str) -> None:
    """Put stable back and try nothing new until it is lifted.

    The kill switch: a candidate is taken back at once, and no version is tried until lift, whatever the spec says.
    --reason is required.
    """
    if not asker.reason:
        raise click.UsageError("kill needs --reason: whoever finds this at night wants to know why")
    question = f"Stop {name}: take what is under way back at once, and try nothing new until it is lifted?"
    asker.ask(ActionKind.KILL, asker.cluster.rollout(name), question=question)


@click.command()
@rollout_argument
@asking
def lift(asker: Asker, name: str) -> None:
    """End what kill began."""
    asker.ask(ActionKind.LIFT, asker.cluster.rollout(name))


def _version(colour: ColourStatus | None) -> str:
    return f"version {colour.version}" if colour else "the candidate"


def _cohort(header: str) -> dict[str, str]:
    name, equals, value = header.partition("=")
    if not (name and equals and value):
        raise click.UsageError(f"--header {header} names no cohort: write KEY=VALUE, such as x-ring=internal")
    return {"header": name, "value": value}
