"""What may be said of a Prometheus, and what is sent and believed then: real HTTP and TLS on loopback."""

import base64
import json
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from modelrollout.metrics.access import AccessError, described
from modelrollout.metrics.prometheus import Prometheus, Single, Unavailable, Value
from support.http_servers import answering

SECRET = "s3cr3t-0f-0urs"


class Server:
    """Answers 1 to every question, or another status, and keeps the headers that it was sent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.location = ""
        self.heard: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://localhost:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        with answering(self._server):
            yield self

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.heard.append({name.lower(): value for name, value in self.headers.items()})
                result = [{"metric": {}, "value": [1.5, "1"]}]
                answer = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing."""

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().serving() as server:
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with a secret, as an editor leaves it."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def replace(path: Path, content: bytes | None) -> None:
    """As the kubelet replaces what is in a Secret; None: the file goes."""
    if content is None:
        path.unlink()
    else:
        new = path.with_name("new")
        new.write_bytes(content)
        new.replace(path)


async def asked(**fields: Any) -> Single:
    source = Prometheus(described(fields))
    try:
        return await source.value("q")
    finally:
        source.close()


async def test_of_ourselves_we_say_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what is in the ~/.netrc of whoever starts the operator."""
    (tmp_path / "netrc").write_text(f"default login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert await asked(url=server.url) == Value(1)
    assert "authorization" not in server.heard[0]


async def test_a_token_that_is_rotated_is_the_next_one_sent(server: Server, secret: Path) -> None:
    source = Prometheus(described({"url": server.url, "bearer_token_file": secret}))
    assert await source.value("q") == Value(1)
    replace(secret, b"another")
    assert await source.value("q") == Value(1)
    source.close()
    assert [heard["authorization"] for heard in server.heard] == [f"Bearer {SECRET}", "Bearer another"]


async def test_a_user_and_a_password(server: Server, secret: Path) -> None:
    """Also one that no header could carry as it is."""
    replace(secret, "pässwort 1\n".encode())
    assert await asked(url=server.url, username="operator", password_file=secret) == Value(1)
    kind, _, encoded = server.heard[0]["authorization"].partition(" ")
    assert (kind, base64.b64decode(encoded).decode()) == ("Basic", "operator:pässwort 1")


async def test_headers_go_with_every_question(server: Server) -> None:
    assert await asked(url=server.url, headers={"X-Scope-OrgID": "ml|risk", "X-Team": "a"}) == Value(1)
    assert (server.heard[0]["x-scope-orgid"], server.heard[0]["x-team"]) == ("ml|risk", "a")


async def test_nobody_is_followed_with_a_secret(server: Server, secret: Path) -> None:
    with Server().serving() as elsewhere:
        server.status, server.location = 307, elsewhere.url
        answer = await asked(url=server.url, bearer_token_file=secret)
    assert elsewhere.heard == []
    words = "it answers 307 Temporary Redirect and leads elsewhere; set --prometheus-url to where Prometheus itself"
    assert isinstance(answer, Unavailable)
    assert words in answer.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "it answers 401 Unauthorized; it wants to know who asks: see --prometheus-bearer-token-file, "),
        ({"bearer_token_file": True}, "401 Unauthorized; see the token in --prometheus-bearer-token-file"),
        (
            {"username": "me", "password_file": True},
            "401 Unauthorized; see --prometheus-username and --prometheus-password-file",
        ),
    ],
)
async def test_who_is_refused_is_told_what_to_look_at(
    server: Server, secret: Path, fields: dict[str, Any], words: str
) -> None:
    server.status = 401
    answer = await asked(url=server.url, **{name: secret if one is True else one for name, one in fields.items()})
    assert isinstance(answer, Unavailable)
    assert words in answer.message


@pytest.mark.parametrize(
    "wrong",
    [
        (None, "the file is not there any more"),
        (b" \n", "the file is empty"),
        (f"{SECRET}\n{SECRET}".encode(), "the file must hold one token and nothing else"),
        (f"{SECRET}é".encode(), "the file must hold one token and nothing else"),
        (SECRET.encode() + b"\xff", "the file cannot be read: it is no text"),
    ],
)
@pytest.mark.parametrize("field", ["bearer_token_file", "password_file"])
async def test_secrets_stand_in_no_message_and_no_line_of_the_log(
    server: Server, secret: Path, wrong: tuple[bytes | None, str], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, words = wrong
    caplog.set_level(logging.DEBUG)
    user = {"username": "me"} if field == "password_file" else {}
    source = Prometheus(described({"url": server.url, field: secret, **user}))
    told = [str(await source.value("q"))]
    for status in (400, 401, 403, 503, 200):
        server.status = status
        told += [str(await source.value("q")), str(await source.names())]
    replace(secret, content)
    answer = await source.value("q")
    source.close()
    option = f"--prometheus-{field.replace('_', '-')}"
    refused = Unavailable(f"Prometheus cannot be asked: {option}: {words}")
    assert answer == (Value(1) if field == "password_file" and "one token" in words else refused)
    everything = " ".join([*told, str(answer), repr(described({"url": server.url})), caplog.text])
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert not [one for one in (SECRET, encoded) if one in everything]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "prometheus:9090"}, "--prometheus-url: it is not a URL such as http://"),
        ({"url": "http://"}, "--prometheus-url: it is not a URL such as http://"),
        ({"url": "ftp://prometheus"}, "--prometheus-url: it is not a URL such as http://"),
        ({"url": "http://[prometheus"}, "--prometheus-url: it is not a URL such as http://"),
        ({"url": "http://p:http"}, "--prometheus-url: it is not a URL such as http://"),
        ({"url": f"http://me:{SECRET}@p"}, "--prometheus-url: it must hold no user and no password"),
        ({"timeout": "often"}, "--prometheus-timeout: 'often' is not a duration"),
        ({"timeout": "0s"}, "--prometheus-timeout: it must be longer than 0s, and 10s at most"),
        ({"timeout": "11s"}, "--prometheus-timeout: it must be longer than 0s, and 10s at most"),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, "--prometheus-header: Authorization holds a secret"),
        ({"headers": {"X Scope": "a"}}, "--prometheus-header: 'X Scope' is not the name of a header"),
        ({"headers": {"X-Scope": f"{SECRET}\n"}}, "--prometheus-header: 'X-Scope' is not the name of a header, or"),
        ({"bearer_token_file": SECRET}, "--prometheus-bearer-token-file: there is no such file"),
        ({"username": "me"}, "--prometheus-username and --prometheus-password-file need each other"),
        ({"password_file": __file__}, "--prometheus-username and --prometheus-password-file need each other"),
        (
            {"username": "me", "password_file": __file__, "bearer_token_file": __file__},
            "give --prometheus-bearer-token-file or --prometheus-password-file, not both",
        ),
        ({"key_file": __file__}, "--prometheus-key-file needs --prometheus-cert-file"),
        (
            {"ca_file": __file__, "insecure_skip_verify": True},
            "--prometheus-insecure-skip-verify would make --prometheus-ca-file useless",
        ),
        ({"url": "http://p", "ca_file": __file__}, "--prometheus-ca-file needs a URL with https://"),
    ],
)
def test_what_cannot_be_meant_so_is_refused_with_the_option(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(AccessError) as refused:
        described({"url": "https://p", **fields})
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def issued(ca: trustme.CA, folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    certificate = ca.issue_cert(name)
    cert_file, key_file = folder / "tls.crt", folder / "tls.key"
    certificate.cert_chain_pems[0].write_to_path(cert_file)
    certificate.private_key_pem.write_to_path(key_file)
    return cert_file, key_file


def trusting(ca: trustme.CA, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """A server that shows a certificate of `ca`, and wants one of `clients`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    if clients:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_whom_nobody_vouches_for_is_not_believed_by_default(ca: trustme.CA, secret: Path, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    with Server(trusting(ca)).serving() as server:
        stranger = await asked(url=server.url, bearer_token_file=secret)
        assert server.heard == [], "the token is not for strangers"
        known = await asked(url=server.url, bearer_token_file=secret, ca_file=tmp_path / "ca.crt")
        ignored = await asked(url=server.url, insecure_skip_verify=True)
    assert isinstance(stranger, Unavailable)
    assert "unable to get local issuer certificate" in stranger.message
    assert "see --prometheus-ca-file" in stranger.message
    assert (known, ignored) == (Value(1), Value(1))


async def test_a_certificate_of_ours_and_the_one_that_it_is_replaced_by(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    cert_file, key_file = issued(ca, tmp_path, "operator")
    files = {"ca_file": tmp_path / "ca.crt", "cert_file": cert_file, "key_file": key_file}
    with Server(trusting(ca, ca)).serving() as server:
        unknown = await asked(url=server.url, ca_file=files["ca_file"])
        source = Prometheus(described({"url": server.url, **files}))
        assert await source.value("q") == Value(1)
        issued(trustme.CA(), tmp_path, "operator")
        assert not isinstance(await source.value("q"), Value), "the server knows nobody who vouches for the new one"
        issued(ca, tmp_path, "operator")
        assert await source.value("q") == Value(1)
        source.close()
    assert isinstance(unknown, Unavailable)
    assert "see --prometheus-ca-file and --prometheus-cert-file" in unknown.message
