"""Prometheus decides: what it says of a candidate takes it back, or lets it go on."""

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.history import Object
from stack.operator_process import OperatorProcess, eventually, grant, running
from stack.rollout import Rollout

SCRAPES_ITSELF = """
global: {scrape_interval: 500ms}
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ["localhost:PORT"]}]
"""
ALWAYS_ONE = "prometheus_build_info * 0 + 1"


@pytest.fixture(scope="module")
def operator(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    grant(bed)
    port = bed.start_prometheus("{}").rsplit(":", 1)[1]
    url = bed.start_prometheus(SCRAPES_ITSELF.replace("PORT", port))
    with running(bed, tmp_path_factory.mktemp("operator"), f"--prometheus-url={url}") as operator:
        yield operator


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    return Rollout(bed, client, namespace, slos=[_slo(limit="2")])


def test_a_candidate_within_its_limit_is_promoted(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    rollout.serves("2.0.0")


def test_a_candidate_above_its_limit_is_taken_back(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    before = rollout.serves("1.0.0")["stable"]["colour"]
    rollout.apply("2.0.0", slos=[_slo(limit="0.5")])
    status = rollout.wait_for(lambda status: status["phase"] == "Reverted", "the candidate to be taken back")
    assert status["lastRevert"]["reason"] == "SLOBreached"
    assert status["lastRevert"]["stage"] == "canary-20"
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == before
    assert operator.metric("modelrollout_breach_to_route_seconds_count") == 1


def test_kubectl_alone_says_why_a_version_was_taken_back(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0", slos=[_slo(limit="0.5")])
    rollout.wait_for(lambda status: status["phase"] == "Reverted", "the candidate to be taken back")
    told = eventually(lambda: _ended_report(rollout, "scorer-2"), "the report")
    (back,) = (entry for entry in told["timeline"] if entry["reason"] == "Reverting")
    (said,) = back["evidence"]
    assert (back["left"], said["name"], said["verdict"]) == ("canary-20", "one", "Breach")
    assert (said["value"], said["limit"], said["asked"]) == (1, 0.5, ALWAYS_ONE)
    described = bed.kubectl("describe", "mrr", "scorer-2", f"--namespace={rollout.namespace}")
    for word in ("Reverted", "SLOBreached", "canary-20", ALWAYS_ONE, "breached 2 times in a row"):
        assert word in described


def _ended_report(rollout: Rollout, name: str) -> Object | None:
    told: Object = rollout.get("mrr", name)["status"]
    return told if "ended" in told else None


def test_without_an_answer_nothing_moves_until_there_is_one(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply(
        "2.0.0", strategy={"canary": {"steps": [{"weight": 20, "hold": "3s"}, {"weight": 100, "hold": "1s"}]}}
    )
    rollout.wait_for(lambda status: status.get("stage"), "the first stage")
    bed.stop("prometheus")
    try:
        status = rollout.wait_for(
            lambda status: status["phase"] == "Progressing" and _progressing(status)["reason"] == "Undecided",
            "the rollout to hold because nothing is known",
        )
        assert status["slos"][0]["verdict"] == "Inconclusive"
    finally:
        bed.start("prometheus")
    rollout.serves("2.0.0")
    assert eventually(lambda: operator.get("/healthz").is_success, "the operator to be well")


def _slo(*, limit: str) -> dict[str, object]:
    return {"name": "one", "query": {"value": ALWAYS_ONE}, "limit": limit, "consecutiveBreaches": 2}


def _progressing(status: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return next(condition for condition in status["conditions"] if condition["type"] == "Progressing")
