"""What the operator is told at its start."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from modelrollout.controller.kinds import Key
from modelrollout.metrics.access import Access
from modelrollout.metrics.alerts import AlertLabels


class CannotStartError(Exception):
    """The process cannot start as it was told to; the text says why, and what to change."""


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """Where alerts are taken, from whom, and how they name rollouts."""

    port: int
    token_file: Path
    cert_file: Path | None
    """None: they come in the clear."""
    key_file: Path | None
    labels: AlertLabels


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of `modelrollout-operator`; see there for what they mean."""

    prometheus: tuple[Access, ...]
    """Empty: no SLO can be judged."""
    alerts: AlertSettings | None
    """None: none are taken."""
    namespaces: tuple[str, ...]
    """Empty: all namespaces."""
    lease: Key | None
    """None: there is no other operator to agree with."""
    lease_duration: timedelta
    copy_secrets: bool
    log_format: Literal["text", "json"]
    log_level: str
    metrics_port: int
    poll_interval: timedelta
    workers: int
    resync: timedelta
