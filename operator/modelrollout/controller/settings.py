"""What the operator is told at its start."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from modelrollout.controller.kinds import Key
from modelrollout.metrics.access import Access


class CannotStartError(Exception):
    """The process cannot start as it was told to; the text says why, and what to change."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of `modelrollout-operator`; see there for what they mean."""

    prometheus: tuple[Access, ...]
    """Empty: no SLO can be judged."""
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
