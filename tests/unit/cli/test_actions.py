"""What a person at a terminal is asked before something is asked for."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from modelrollout.api.action import ActionKind
from modelrollout.cli.actions import Asker
from modelrollout.cli.cluster import Object
from support.moments import in_canary_10, seen


class Recorder:
    """Takes the place of a cluster, and keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[Object] = []

    def user(self) -> str:
        return "ann"

    def create(self, _: str, manifest: Object) -> Object:
        self.written.append(manifest)
        return {**manifest, "metadata": {"name": "one"}}


def ask(*, at_terminal: bool, sure: bool, answer: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Exit code, and how many actions were written."""
    cluster: Any = Recorder()
    rollout = seen(in_canary_10())
    rollout.metadata["uid"] = "u"

    @click.command()
    def command() -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: at_terminal)
        asker = Asker(cluster=cluster, reason="", wait=False, timeout=1, output="table", sure=sure)
        asker.ask(ActionKind.ABORT, rollout, question="Take it back?")

    done = CliRunner().invoke(command, input=answer)
    return done.exit_code, len(cluster.written)


@pytest.mark.parametrize(
    ("at_terminal", "sure", "answer", "outcome"),
    [
        (True, False, "y\n", (0, 1)),
        (True, False, "n\n", (1, 0)),
        (True, True, "", (0, 1)),
        (False, False, "", (0, 1)),
    ],
    ids=["yes", "no", "--yes", "a script"],
)
def test_a_person_at_a_terminal_has_to_say_yes(
    at_terminal: bool, sure: bool, answer: str, outcome: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(at_terminal=at_terminal, sure=sure, answer=answer, monkeypatch=monkeypatch) == outcome
