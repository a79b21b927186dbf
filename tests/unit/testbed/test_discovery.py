"""Which pods the Prometheus of a bed scrapes, and what it says of their samples."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from testbed import discovery
from testbed.discovery import groups


def pod(name: str, labels: dict[str, str], ports: dict[str, int], **status: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ml", "name": name, "labels": labels},
        "spec": {"containers": [{"ports": [{"name": n, "containerPort": p} for n, p in ports.items()]}, {}]},
        "status": {"phase": "Running", "podIP": "10.244.0.7", **status},
    }


MODEL = {"modelrollout.io/name": "fraud", "modelrollout.io/colour": "blue", "app": "fraud"}


def test_a_model_is_scraped_at_its_metrics_port_with_its_own_labels() -> None:
    found = groups([pod("fraud-1", MODEL, {"http": 8080, "metrics": 8082})])
    labels = {
        "modelrollout_io_name": "fraud",
        "modelrollout_io_colour": "blue",
        "namespace": "ml",
        "pod": "fraud-1",
    }
    assert found == {
        "models": [{"targets": ["10.244.0.7:8082"], "labels": labels}],
        "operator": [],
        "envoy": [],
    }


def test_the_operator_and_the_proxies_have_jobs_of_their_own() -> None:
    operator = pod("operator-1", {"app.kubernetes.io/name": "modelrollout"}, {"metrics": 9000, "health": 8080})
    proxy = pod("envoy-1", {"app.kubernetes.io/managed-by": "envoy-gateway"}, {"http-80": 10080, "metrics": 19001})
    found = groups([operator, proxy])
    assert [group["targets"] for group in found["operator"]] == [["10.244.0.7:9000"]]
    assert [group["targets"] for group in found["envoy"]] == [["10.244.0.7:19001"]]


def test_what_cannot_answer_or_has_nothing_to_say_is_left_out() -> None:
    pending = pod("pending", MODEL, {"metrics": 8082}, phase="Pending")
    nowhere = pod("nowhere", MODEL, {"metrics": 8082}, podIP="")
    silent = pod("silent", MODEL, {"http": 8080})
    stranger = pod("stranger", {"app": "db"}, {"metrics": 9187})
    assert not any(groups([pending, nowhere, silent, stranger]).values())


class OverError(Exception):
    """There is nothing more to follow."""


def test_it_asks_again_whatever_comes_instead_of_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [
        httpx.ReadTimeout("slow"),
        ConnectionResetError(),
        OSError("no space"),
        ValueError("no JSON"),
        OverError(),
    ]

    def views(_: httpx.Client) -> Iterator[list[dict[str, Any]]]:
        yield [pod("fraud-1", MODEL, {"metrics": 8082})]
        raise errors.pop(0)

    monkeypatch.setattr(discovery, "_views", views)
    monkeypatch.setattr(discovery, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: True)
    with pytest.raises(OverError):
        discovery.follow("https://127.0.0.1:1", "", "token", tmp_path)
    assert not errors
    assert "10.244.0.7:8082" in (tmp_path / "models.json").read_text()
