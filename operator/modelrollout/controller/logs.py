"""Log lines, as text for people or as JSON for programs.

Every line about a rollout says which, and which attempt where that is known.
"""

import logging
from collections.abc import MutableMapping
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from modelrollout.controller.kinds import Key

LEVELS = ("debug", "info", "warning", "error")

_QUIET = {
    "kopf.objects": logging.WARNING,  # a line for every event of every object
    "kopf._core.reactor.observation": logging.ERROR,  # complains of each optional kind that is not installed
    "aiohttp.access": logging.WARNING,  # a line for every probe
    "httpx": logging.WARNING,  # a line for every query
    "httpcore": logging.WARNING,
}


class RolloutLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines carry `namespace`, `name` and `attempt` of a rollout."""

    def __init__(self, logger: logging.Logger, key: Key, attempt: int | None = None) -> None:
        known = {} if attempt is None else {"attempt": attempt}
        super().__init__(logger, {"namespace": key.namespace, "rollout": key.name, **known})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


def configure(*, log_format: Literal["text", "json"], level: str) -> None:
    """Send everything that the process logs to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_json_formatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        reserved_attrs=[*_STANDARD, "settings", "k8s_ref", "k8s_skip"],
        timestamp="time",
    )


class _TextFormatter(logging.Formatter):
    """`TIME LEVEL [namespace/name#attempt] message`, with `[namespace/name]` where the attempt is not known."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(subject)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        name = getattr(record, "rollout", None)
        attempt = f"#{record.attempt}" if hasattr(record, "attempt") else ""
        record.subject = f"[{record.namespace}/{name}{attempt}] " if name else ""  # type: ignore[attr-defined]
        return super().format(record)


_STANDARD = [*vars(logging.makeLogRecord({})), "message", "asctime", "subject"]
