"""A real Prometheus on loopback, and the exporter that it scrapes."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.http_servers import answering
from testbed import debian

SCRAPE_INTERVAL = 0.25


class Exporter:
    """Serves a page of metrics for each target, at the path of its name."""

    def __init__(self) -> None:
        self._pages: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def add(self, target: str, series: str, amount: float = 1) -> None:
        """Count up a series such as `requests_total{code="200"}`; its first value makes it appear."""
        with self._lock:
            page = self._pages.setdefault(target, {})
            page[series] = page.get(series, 0) + amount

    def set(self, target: str, series: str, value: float) -> None:
        """Set a series to a value."""
        with self._lock:
            self._pages.setdefault(target, {})[series] = value

    def remove(self, target: str, series: str) -> None:
        """The target has this series no more."""
        with self._lock:
            del self._pages[target][series]

    def restart(self, target: str) -> None:
        """The process begins anew: all its series are gone until they count again."""
        with self._lock:
            self._pages[target] = {}

    def stop(self, target: str) -> None:
        """The target answers with an error from now on."""
        with self._lock:
            self._pages.pop(target, None)

    @contextmanager
    def serving(self) -> Iterator["Exporter"]:
        with answering(self._server):
            yield self

    def _page(self, target: str) -> str | None:
        with self._lock:
            page = self._pages.get(target)
            return None if page is None else "".join(f"{series} {value}\n" for series, value in page.items())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page_of = self._page

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = page_of(self.path.removeprefix("/"))
                self.send_response(503 if page is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                with suppress(BrokenPipeError):  # a scrape that took too long is given up
                    self.wfile.write((page or "").encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing: a line for each scrape helps nobody."""

        return Handler


class PrometheusServer:
    """A Prometheus process that scrapes targets of an exporter; its data outlive a stop."""

    def __init__(self, folder: Path, exporter: Exporter) -> None:
        self._folder = folder
        self._exporter = exporter
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._configure({})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def scrape(self, targets: Mapping[str, Mapping[str, str]]) -> None:
        """Scrape these targets and no others, each with its labels."""
        self._configure(targets)
        if self._process:
            httpx.post(f"{self.url}/-/reload", trust_env=False, timeout=10).raise_for_status()

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = (self._folder / "prometheus.log").open("ab")
        self._process = subprocess.Popen(
            [
                debian.prometheus(),
                f"--config.file={self._folder}/prometheus.yml",
                f"--storage.tsdb.path={self._folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--web.enable-lifecycle",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Prometheus does not start: {(self._folder / 'prometheus.log').read_text()}")
            time.sleep(0.05)

    def knows(self, series: str) -> bool:
        """Whether it has scraped a series by now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": series}, trust_env=False, timeout=10)
        return bool(answer.raise_for_status().json()["data"]["result"])

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """As long as the context lasts it takes connections and does not answer."""
        if self._process is None:
            raise AssertionError("Prometheus does not run")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False, timeout=1).is_success
        except httpx.HTTPError:
            return False

    def _configure(self, targets: Mapping[str, Mapping[str, str]]) -> None:
        scraped = [
            {
                "targets": [self._exporter.address],
                "labels": {"__metrics_path__": f"/{target}", "instance": target, **labels},
            }
            for target, labels in targets.items()
        ]
        config = {
            "global": {
                "scrape_interval": f"{SCRAPE_INTERVAL * 1000:.0f}ms",
                "scrape_timeout": f"{SCRAPE_INTERVAL * 1000:.0f}ms",
            },
            "scrape_configs": [{"job_name": "pods", "static_configs": scraped}],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
