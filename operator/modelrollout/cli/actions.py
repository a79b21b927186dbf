"""Asking for something: a RolloutAction is written, and what becomes of it is waited for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
from pydantic import ValidationError

from modelrollout.api.action import ActionKind, ActionOutcome, RolloutAction, RolloutActionSpec
from modelrollout.api.base import API_VERSION, problems
from modelrollout.api.labels import NAME
from modelrollout.api.rollout import ModelRollout
from modelrollout.cli.cluster import ACTIONS, Cluster, Object, on_cluster
from modelrollout.cli.durations import DURATION
from modelrollout.cli.exits import TimedOutError
from modelrollout.cli.output import output_option, print_data

_NEED_A_STAGE = (ActionKind.APPROVE, ActionKind.SIGN_OFF, ActionKind.ADVANCE)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Writes RolloutActions for one command, as its options say."""

    cluster: Cluster
    reason: str
    wait: bool
    timeout: float
    output: str
    sure: bool

    def ask(self, kind: ActionKind, rollout: ModelRollout, *, question: str = "", **fields: Any) -> None:
        """Ask for something and tell what became of it; a ClickException says why it was refused.

        With a question, a person at a terminal has to say yes first.
        """
        if question and not self.sure and sys.stdin.isatty():
            click.confirm(question, abort=True, err=True)
        written = self.cluster.create(ACTIONS, self._manifest(kind, rollout, fields))
        if not self.wait:
            self._tell(written, f"{written['metadata']['name']} created")
            return
        self._tell_outcome(written["metadata"]["name"])

    def _manifest(self, kind: ActionKind, rollout: ModelRollout, fields: dict[str, Any]) -> Object:
        name = rollout.metadata["name"]
        if kind in _NEED_A_STAGE and not fields.get("stage"):
            fields["stage"] = _present_stage(rollout)
        try:
            spec = RolloutActionSpec(
                rollout=name,
                attempt=rollout.status.attempt,
                action=kind,
                reason=self.reason,
                by=self.cluster.user(),
                **fields,
            )
        except ValidationError as error:
            raise click.UsageError("; ".join(problems(error))) from error
        return {
            "apiVersion": API_VERSION,
            "kind": "RolloutAction",
            "metadata": {
                "generateName": f"{name}-{kind.lower()}-",
                "labels": {NAME: name},
                "ownerReferences": [
                    {"apiVersion": API_VERSION, "kind": "ModelRollout", "name": name, "uid": rollout.metadata["uid"]}
                ],
            },
            "spec": spec.to_wire(),
        }

    def _tell_outcome(self, name: str) -> None:
        for found in self.cluster.follow(ACTIONS, name, seconds=self.timeout):
            if found is None:
                raise click.ClickException(f"RolloutAction {name} was deleted before the operator answered")
            action = RolloutAction.model_validate(found)
            asked, status = f"{action.spec.rollout}: {action.spec.action}", action.status
            match status.outcome:
                case ActionOutcome.APPLIED:
                    self._tell(found, f"{asked} applied: {status.message}")
                    return
                case ActionOutcome.REFUSED:
                    if self.output != "table":
                        print_data(found, self.output)
                    raise click.ClickException(f"{asked} refused: {status.message}")
        raise TimedOutError(
            f"the operator has not answered within {self.timeout:g} s. RolloutAction {name} stands, and is applied or "
            "refused once the operator looks at it; delete it to take it back"
        )

    def _tell(self, action: Object, sentence: str) -> None:
        if self.output == "table":
            click.echo(sentence)
        else:
            print_data(action, self.output)


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of everything that is asked for, and an Asker as its first argument."""

    @click.option("--reason", default="", help="Why, for the record.")
    @click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the operator's answer.")
    @click.option("--timeout", type=DURATION, default="30s", show_default=True, help="Longest wait for it.")
    @output_option
    @on_cluster
    @wraps(command)
    def asked(
        cluster: Cluster, *, reason: str, wait: bool, timeout: float, output: str, yes: bool = True, **options: Any
    ) -> None:
        asker = Asker(cluster=cluster, reason=reason, wait=wait, timeout=timeout, output=output, sure=yes)
        command(asker, **options)

    return asked


def asking_twice(command: Callable[..., None]) -> Callable[..., None]:
    """The same for what a person at a terminal has to confirm, unless they say --yes."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(asking(command))


def _present_stage(rollout: ModelRollout) -> str:
    stage = rollout.status.stage
    if stage is None:
        raise click.UsageError(f"{rollout.metadata['name']} is in no stage now: name one with --stage")
    return stage.name
