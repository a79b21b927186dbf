"""A rule that fires in a real Prometheus takes the candidate back, and an alert about another does not."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from kubernetes.client import ApiClient

import testbed
from stack.history import Object
from stack.operator_process import OperatorProcess, eventually, grant, running
from stack.rollout import Rollout
from support.prometheus_server import Exporter

TOKEN = "t0ken-of-prometheus"
RULES = {"Errors": "failing == 1", "Slow": "slow == 1"}


@dataclass
class Alerting:
    """An operator that takes alerts, and series that fire them in a Prometheus which knows it as an Alertmanager."""

    operator: OperatorProcess
    exporter: Exporter

    def fire(self, metric: str, namespace: str, **labels: str) -> None:
        """Have a series that the rules look at say that there is trouble."""
        about = {"namespace": namespace, "modelrollout_io_name": "scorer"} | labels
        written = ",".join(f'{name}="{value}"' for name, value in about.items())
        self.exporter.set("models", f"{metric}{{{written}}}", 1)

    def has_taken(self, alertname: str, times: int) -> None:
        """Wait until the operator has heard of so many alerts of a rule."""
        told = f"alert {alertname} fires"
        eventually(lambda: self.operator.log.read_text().count(told) >= times, f"{times} times {told}")


@pytest.fixture(scope="module")
def alerting(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    grant(bed)
    folder = tmp_path_factory.mktemp("alerting")
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    options = ("--alerts-port=0", f"--alerts-token-file={token_file}")
    with Exporter().serving() as exporter, running(bed, folder, *options) as operator:
        exporter.set("models", "started", 1)
        port = re.search(r"taking alerts on port (\d+)", operator.log.read_text())
        assert port, "the operator takes no alerts"
        url = bed.start_prometheus(_config(folder, exporter, f"127.0.0.1:{port[1]}", token_file))
        # What fires before Prometheus has found its Alertmanagers it tells a minute later.
        eventually(
            lambda: httpx.get(f"{url}/api/v1/alertmanagers", trust_env=False).json()["data"]["activeAlertmanagers"],
            "the operator among the Alertmanagers of Prometheus",
        )
        yield Alerting(operator, exporter)
    bed.start_prometheus("{}")


def _config(folder: Path, exporter: Exporter, operator: str, token_file: Path) -> str:
    summary = {"summary": "{{ $labels.modelrollout_io_name }} is in trouble"}
    rules = [{"alert": name, "expr": expr, "annotations": summary} for name, expr in RULES.items()]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "models", "rules": rules}]}))
    targets = {"targets": [exporter.address], "labels": {"__metrics_path__": "/models"}}
    alertmanager = {
        "static_configs": [{"targets": [operator]}],
        "authorization": {"credentials_file": str(token_file)},
    }
    return json.dumps(
        {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "scrape_configs": [{"job_name": "models", "static_configs": [targets]}],
            "rule_files": [str(folder / "rules.yml")],
            "alerting": {"alertmanagers": [alertmanager]},
        }
    )


def test_a_rule_that_fires_takes_the_candidate_back(
    alerting: Alerting, bed: testbed.Bed, client: ApiClient, namespace: str
) -> None:
    rollout = Rollout(
        bed,
        client,
        namespace,
        strategy={"canary": {"steps": [{"weight": 20, "hold": "1h"}, {"weight": 100}]}},
        alerts={"revertOn": [{"alertname": "Errors"}]},
    )
    rollout.apply("1.0.0")
    before = rollout.serves("1.0.0")["stable"]["colour"]
    rollout.apply("2.0.0")
    status = rollout.wait_for(lambda status: status.get("stage", {}).get("reachedAt"), "the first stage")
    colour, attempt = str(status["candidate"]["colour"]), str(status["candidate"]["attempt"])
    alerting.fire("failing", namespace, modelrollout_io_attempt="1")
    alerting.fire("failing", namespace, modelrollout_io_colour=str(before))
    alerting.fire("slow", namespace, modelrollout_io_attempt=attempt)
    alerting.has_taken("Errors", times=2)
    alerting.has_taken("Slow", times=1)
    rollout.apply("2.0.0", paused=True)  # so that there is a look at it that comes after the alerts
    status = rollout.wait_for(
        lambda status: any(one["reason"] == "Paused" for one in status["conditions"]), "a look after the alerts"
    )
    assert status["phase"] == "Progressing"
    alerting.fire("failing", namespace, modelrollout_io_colour=colour, modelrollout_io_attempt=attempt)
    status = rollout.wait_for(lambda status: status["phase"] == "Reverted", "the candidate to be taken back")
    record = status["lastRevert"]
    assert (record["reason"], record["stage"]) == ("AlertFiring", "canary-20")
    assert record["message"].startswith("alert Errors fires: scorer is in trouble (")
    assert f'modelrollout_io_attempt="{attempt}"' in record["message"]
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == before
    told = eventually(lambda: _ended_report(rollout), "the report")
    (back,) = (entry for entry in told["timeline"] if entry["reason"] == "Reverting")
    assert record["message"] in back["message"]


def _ended_report(rollout: Rollout) -> Object | None:
    told: Object = rollout.get("mrr", "scorer-2")["status"]
    return told if "ended" in told else None
