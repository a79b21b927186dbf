"""Alerts from the wire to the board, over real HTTP and TLS on loopback."""

import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from modelrollout.controller import alerts as module
from modelrollout.controller.alert_endpoint import serve
from modelrollout.controller.alerts import AlertBoard
from modelrollout.controller.kinds import Key
from modelrollout.controller.queue import Priority
from modelrollout.controller.settings import AlertSettings, CannotStartError
from modelrollout.metrics.alerts import AlertLabels
from unit.controller.fake_cluster import START, Clock

TOKEN = "t0ken-of-prometheus"
FRAUD = Key("ml", "fraud")
PATH = "/api/v2/alerts"


class Taken:
    """A board, its clock, and whom it has called."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.called: list[tuple[Key, Priority]] = []
        self.board = AlertBoard(enqueue=lambda *call: self.called.append(call), now=self.clock.now)


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def settings(token_file: Path, **changes: Any) -> AlertSettings:
    given: dict[str, Any] = {"port": 0, "token_file": token_file, "cert_file": None, "key_file": None}
    return AlertSettings(**{**given, "labels": AlertLabels(), **changes})


@asynccontextmanager
async def served(taken: Taken, settings: AlertSettings, verify: Any = True) -> AsyncIterator[httpx.AsyncClient]:
    scheme = "https" if settings.cert_file else "http"
    async with serve(taken.board, settings, now=taken.clock.now) as port:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        base = f"{scheme}://localhost:{port}"
        async with httpx.AsyncClient(base_url=base, headers=headers, verify=verify, trust_env=False) as client:
            yield client


@pytest.fixture
async def client(taken: Taken, token_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with served(taken, settings(token_file)) as client:
        yield client


def alert(rollout: str = "fraud", *, until: timedelta = timedelta(minutes=4), **labels: str) -> dict[str, Any]:
    """As Prometheus sends it."""
    about = {"namespace": "ml", "modelrollout_io_name": rollout} | labels
    return {
        "labels": {"alertname": "Errors", **about},
        "annotations": {"summary": "5% fail", "runbook": "http://x"},
        "startsAt": START.isoformat(),
        "endsAt": (START + until).isoformat(),
        "generatorURL": "http://prometheus/graph",
    }


async def test_what_fires_is_noted_for_its_rollout_which_is_called_first(
    client: httpx.AsyncClient, taken: Taken
) -> None:
    about: dict[str, Any] = {"modelrollout_io_colour": "green", "modelrollout_io_attempt": "2"}
    answer = await client.post(PATH, json=[alert(**about), alert("other")])
    assert (answer.status_code, answer.text) == (200, "")
    (fires,) = taken.board.get(FRAUD)
    assert (fires.name, fires.summary, fires.colour, fires.attempt) == ("Errors", "5% fail", "green", "2")
    assert (fires.starts_at, fires.ends_at) == (START, START + timedelta(minutes=4))
    assert fires.labels == {"alertname": "Errors", "namespace": "ml", "modelrollout_io_name": "fraud", **about}
    assert taken.called == [(FRAUD, Priority.BREACH), (Key("ml", "other"), Priority.BREACH)]


async def test_what_is_heard_again_wakes_nobody_and_fires_on(client: httpx.AsyncClient, taken: Taken) -> None:
    await client.post(PATH, json=[alert()])
    await client.post(PATH, json=[alert(until=timedelta(minutes=9))])
    assert len(taken.called) == 1
    taken.clock.turn_to(8 * 60)
    assert len(taken.board.get(FRAUD)) == 1


async def test_what_is_resolved_or_not_heard_again_in_time_fires_no_longer(
    client: httpx.AsyncClient, taken: Taken
) -> None:
    taken.clock.turn_to(60)
    await client.post(PATH, json=[alert(pod="a"), alert(pod="b")])
    await client.post(PATH, json=[alert(pod="a", until=timedelta(seconds=50)), alert("other", until=timedelta())])
    assert [one.labels["pod"] for one in taken.board.get(FRAUD)] == ["b"]
    assert taken.called == [(FRAUD, Priority.BREACH), (FRAUD, Priority.BREACH), (FRAUD, Priority.CHANGE)]
    taken.clock.turn_to(240)
    assert taken.board.get(FRAUD) == ()


@pytest.mark.parametrize("ends", [{}, {"endsAt": None}, {"endsAt": "0001-01-01T00:00:00Z"}], ids=str)
async def test_without_an_end_it_fires_for_five_minutes(
    client: httpx.AsyncClient, taken: Taken, ends: dict[str, Any]
) -> None:
    written = {name: value for name, value in alert().items() if name != "endsAt"}
    await client.post(PATH, json=[written | ends])
    assert [one.ends_at for one in taken.board.get(FRAUD)] == [START + timedelta(minutes=5)]


async def test_alerts_of_others_are_taken_and_forgotten(client: httpx.AsyncClient, taken: Taken) -> None:
    """Prometheus sends everything that fires to everybody."""
    node = alert()
    del node["labels"]["modelrollout_io_name"]
    assert (await client.post(PATH, json=[node])).status_code == 200
    assert taken.called == []


async def test_labels_may_have_other_names(taken: Taken, token_file: Path) -> None:
    named_by = AlertLabels(namespace="exported_namespace", rollout="model")
    async with served(taken, settings(token_file, labels=named_by)) as client:
        await client.post(PATH, json=[alert(), alert(exported_namespace="ml", model="x")])
    assert taken.called == [(Key("ml", "x"), Priority.BREACH)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body: Invalid JSON"),
        (b"{}", "the body: Input should be a valid array"),
        (b'[{"labels": {}}]', "0.labels: "),
        (b'[{"labels": {"a": 1}}]', "0.labels.a: Input should be a valid string"),
        (b'[{"labels": {"a": "b"}, "startsAt": "2026-01-01T00:00:00"}]', "0.startsAt: Input should have timezone info"),
        (json.dumps([{"labels": {"a": "b" * 5000}}]).encode(), "0.labels.a: String should have at most 4096"),
    ],
)
async def test_what_is_no_alert_is_refused_with_what_is_wrong(
    client: httpx.AsyncClient, taken: Taken, body: bytes, words: str
) -> None:
    answer = await client.post(PATH, content=body)
    assert answer.status_code == 400
    assert words in answer.text
    assert taken.called == []


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer t\u00f6ken"]
)
async def test_whoever_has_not_the_token_is_refused(client: httpx.AsyncClient, taken: Taken, given: str | None) -> None:
    del client.headers["Authorization"]
    headers = {} if given is None else {b"Authorization": given.encode()}
    answer = await client.post(PATH, json=[alert()], headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert taken.called == []


async def test_a_token_that_is_replaced_counts_at_once_and_none_lets_nobody_in(
    client: httpx.AsyncClient, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def status(token: str) -> int:
        return (await client.post(PATH, json=[], headers={"Authorization": f"Bearer {token}".strip()})).status_code

    write(token_file, "another")
    assert [await status(TOKEN), await status("another")] == [401, 200]
    write(token_file, " \n")
    assert [await status(""), await status(TOKEN)] == [401, 401]
    assert "the file of --alerts-token-file is empty" in caplog.text
    write(token_file, None)
    assert await status(TOKEN) == 401
    assert "the file of --alerts-token-file cannot be read: No such file" in caplog.text
    assert TOKEN not in caplog.text


def write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("PUT", PATH, 405), ("DELETE", PATH, 405), ("POST", "/api/v1/alerts", 404), ("GET", "/", 404)],
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await client.request(method, path)).status_code == status


async def test_large_bodies_are_not_read_to_their_end(client: httpx.AsyncClient, taken: Taken) -> None:
    assert (await client.post(PATH, content=b" " * 1024 * 1024 + b"[]")).status_code == 413
    assert (await client.post(PATH, content=b" " * 1024 + b"[]")).status_code == 200


async def test_what_is_kept_is_bounded(
    client: httpx.AsyncClient, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_ALERTS", 3)
    await client.post(PATH, json=[alert(pod=str(number)) for number in range(5)])
    assert len(taken.board.get(FRAUD)) == 3
    taken.clock.turn_to(240)
    await client.post(PATH, json=[alert("other", until=timedelta(minutes=9))])
    assert len(taken.board.get(Key("ml", "other"))) == 1, "what has ended makes room"


async def test_a_port_that_is_taken_is_named_with_the_way_out(taken: Taken, token_file: Path) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStartError, match=f"port {port}: .*choose another with --alerts-port"):
            async with serve(taken.board, settings(token_file, port=port), now=datetime.now):
                pass


def issue(ca: trustme.CA, folder: Path) -> dict[str, Path]:
    certificate = ca.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    return {"cert_file": folder / "tls.crt", "key_file": folder / "tls.key"}


async def test_tls_with_the_certificate_that_the_files_have_now(taken: Taken, token_file: Path, tmp_path: Path) -> None:
    ca, later = trustme.CA(), trustme.CA()
    trusted, trusted_later = ssl.create_default_context(), ssl.create_default_context()
    ca.configure_trust(trusted)
    later.configure_trust(trusted_later)
    async with served(taken, settings(token_file, **issue(ca, tmp_path)), trusted) as client:
        assert (await client.post(PATH, json=[])).status_code == 200
        issue(later, tmp_path)
        async with httpx.AsyncClient(base_url=client.base_url, verify=trusted_later, trust_env=False) as other:
            assert (await other.post(PATH, json=[], headers=client.headers)).status_code == 200
        write(tmp_path / "tls.key", "no key")
        async with httpx.AsyncClient(base_url=client.base_url, verify=trusted_later, trust_env=False) as other:
            assert (await other.post(PATH, json=[], headers=client.headers)).status_code == 200, "the last good one"


async def test_what_is_no_certificate_is_named(taken: Taken, token_file: Path) -> None:
    with pytest.raises(CannotStartError, match="--alerts-cert-file and --alerts-key-file"):
        async with serve(taken.board, settings(token_file, cert_file=token_file), now=datetime.now):
            pass
