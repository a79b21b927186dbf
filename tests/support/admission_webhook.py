"""A validating admission webhook on this machine that says yes to everything, sooner or later."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

from testbed import Bed

TIMEOUT = 1
"""Seconds that the API server waits for it: the least that can be asked for."""

Takes = Callable[[int], float]
"""Seconds for the answer to each call, by its number."""


class AdmissionWebhook:
    """Asked by the API server of a bed about every write of one user in one namespace."""

    def __init__(self, bed: Bed, takes: Takes) -> None:
        self.calls = 0
        self.late = 0
        """Calls that it took longer to answer than the API server waits."""
        self._bed = bed
        self._takes = takes
        self._lock = threading.Lock()
        self._authority = trustme.CA()
        self._server = ThreadingHTTPServer((bed.host_address, 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(bed.host_address).configure_cert(context)
        # the handshake is left to the thread that reads: one that lingers must not keep others from being heard
        listening = self._server.socket
        self._server.socket = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)

    @contextmanager
    def asked(self, *, namespace: str, user: str) -> Iterator[None]:
        """Serve, and have the API server ask."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            self._bed.apply(json.dumps(self._configuration(namespace, user)))
            yield
        finally:
            self._bed.kubectl("delete", "validatingwebhookconfiguration", namespace, "--ignore-not-found")
            self._server.shutdown()
            self._server.server_close()

    def _configuration(self, namespace: str, user: str) -> dict[str, Any]:
        url = f"https://{self._bed.host_address}:{self._server.server_address[1]}/"
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        webhook = {
            "name": "slow.example.com",
            "clientConfig": {"url": url, "caBundle": authority},
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "matchConditions": [{"name": "user", "expression": f"request.userInfo.username == '{user}'"}],
            "timeoutSeconds": TIMEOUT,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": namespace},
            "webhooks": [webhook],
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        wait = self._wait

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                wait()
                response = {"uid": review["request"]["uid"], "allowed": True}
                with suppress(OSError):  # the API server has given the call up
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(json.dumps({**review, "request": None, "response": response}).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing: a line for each call helps nobody."""

        return Handler

    def _wait(self) -> None:
        with self._lock:
            seconds = self._takes(self.calls)
            self.calls += 1
            self.late += seconds > TIMEOUT
        time.sleep(seconds)
