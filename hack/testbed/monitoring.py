"""Prometheus, Debian's build of it: unpacked and not installed, so that no service comes with it."""

import sys
from pathlib import Path

import httpx
import yaml

from . import debian, discovery
from .commands import run
from .control_plane import Program
from .errors import BedError
from .sites import Site
from .state import write_private


def is_wanted(site: Site) -> bool:
    """Whether this bed has one: a full bed always, a light one when it was asked for."""
    return _config(site).exists()


def configure(site: Site, config: str) -> None:
    """Check its configuration and write it down, for the next start or reload."""
    new = site.folder / "prometheus.yml.new"
    new.write_text(config)
    run(debian.prometheus().with_name("promtool"), "check", "config", new)
    new.rename(_config(site))


def cluster_config(site: Site, interval: str) -> str:
    """Scrape what `discovery` finds, which says by what rule."""
    jobs = [
        {
            "job_name": job,
            "metrics_path": "/stats/prometheus" if job == "envoy" else "/metrics",
            "file_sd_configs": [{"files": [f"{_targets(site)}/{job}.json"]}],
        }
        for job in discovery.JOBS
    ]
    limits = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return yaml.safe_dump({"global": limits, "scrape_configs": jobs}, sort_keys=False)


def target_discovery(site: Site) -> Program:
    """The program that writes the targets down."""
    folder = _targets(site)
    folder.mkdir(exist_ok=True)
    token = site.folder / "discovery.token"
    write_private(token, site.state.tokens["prometheus"])
    argv = [sys.executable, "-m", discovery.__name__, site.api_url, str(site.api_certificate), str(token), str(folder)]
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    return Program(
        "discovery", argv, ready=lambda: all((folder / f"{job}.json").exists() for job in discovery.JOBS), env=env
    )


def prometheus(site: Site) -> Program:
    """The program."""
    argv = [
        str(debian.prometheus()),
        f"--config.file={_config(site)}",
        f"--storage.tsdb.path={site.folder}/prometheus",
        "--storage.tsdb.retention.time=2d",
        f"--web.listen-address={site.address}:{site.state.ports['prometheus']}",
        "--web.enable-lifecycle",
        "--web.enable-admin-api",
        "--log.level=warn",
    ]
    return Program("prometheus", argv, ready=lambda: site.answers(f"{site.prometheus_url}/-/ready"))


def reload(site: Site) -> None:
    """Have the running one read its configuration again."""
    answer = httpx.post(f"{site.prometheus_url}/-/reload", trust_env=False, timeout=30)
    if answer.is_error:
        raise BedError(f"Prometheus refused its configuration: {answer.text}")


def _targets(site: Site) -> Path:
    return site.folder / "targets"


def _config(site: Site) -> Path:
    return site.folder / "prometheus.yml"
