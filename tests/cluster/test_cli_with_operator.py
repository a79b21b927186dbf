"""What is asked for at a terminal, heard by the operator: the way on, the way back and the kill switch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.operator_process import grant, running
from stack.rollout import Rollout
from support.terminal_program import Program

STEP = {"weight": 50, "hold": "1h", "require": {"checklist": ["runbook"]}}
HELD = {"canary": {"steps": [STEP, {"weight": 100, "hold": "1h"}]}}


@pytest.fixture
def operator(bed: testbed.Bed, tmp_path: Path) -> Iterator[None]:
    grant(bed)
    with running(bed, tmp_path):
        yield


@pytest.fixture
def cli(bed: testbed.Bed, namespace: str) -> Program:
    return Program(bed.kubeconfig, namespace)


@pytest.fixture
def rollout(operator: None, bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    """Version 2.0.0 on trial, in its first stage."""
    rollout = Rollout(bed, client, namespace, replicas=2, strategy=HELD)
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    return rollout


def say(cli: Program, *words: str) -> str:
    """What was answered to something that worked."""
    done = cli.run(*words)
    assert done.exit_code == 0, done.output
    return done.stdout


def reach(cli: Program, goal: str) -> None:
    assert say(cli, "wait", "scorer", f"--for={goal}", "--timeout=1m") == f"scorer: {goal}\n"


@pytest.mark.usefixtures("rollout")
def test_people_can_pause_sign_off_advance_and_promote(cli: Program) -> None:
    reach(cli, "stage=canary-50")
    assert "scorer: Pause applied" in say(cli, "pause", "scorer", "--reason=lunch")
    assert "PAUSED by admin" in say(cli, "status", "scorer")
    assert "scorer: Resume applied" in say(cli, "resume", "scorer")
    assert "checklist: runbook" in say(cli, "status", "scorer")
    assert "scorer: SignOff applied" in say(cli, "sign-off", "scorer", "--item=runbook")
    assert "scorer: Advance applied" in say(cli, "advance", "scorer")
    reach(cli, "stage=canary-100")
    assert "scorer: Promote applied" in say(cli, "promote", "scorer")
    reach(cli, "promoted")
    assert "scorer: Revert applied" in say(cli, "undo", "scorer")
    reach(cli, "reverted")
    assert cli.run("wait", "scorer", "--for=promoted", "--timeout=1m").exit_code == 1


@pytest.mark.usefixtures("rollout")
def test_people_can_abort_retry_and_stop_everything(cli: Program) -> None:
    reach(cli, "stage=canary-50")
    assert "scorer: Abort applied" in say(cli, "abort", "scorer")
    reach(cli, "reverted")
    assert "scorer: Retry applied" in say(cli, "retry", "scorer")
    reach(cli, "stage=canary-50")
    assert "scorer: Kill applied" in say(cli, "kill", "scorer", "--reason=harm")
    reach(cli, "reverted")
    assert "KILLED by admin" in say(cli, "status", "scorer")
    assert "scorer: Lift applied" in say(cli, "lift", "scorer")
    refused = cli.run("lift", "scorer")
    assert refused.exit_code == 1
    assert "Lift refused: nobody pulled the kill switch" in refused.stderr
