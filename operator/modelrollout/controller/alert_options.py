"""Options of the operator by which it takes alerts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from modelrollout.controller.settings import AlertSettings
from modelrollout.metrics.alerts import AlertLabels

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)

_OPTIONS = (
    click.option(
        "--alerts-port",
        type=click.IntRange(0, 65535),
        help="Port at which Prometheus may push alerts, as to an Alertmanager; 0 takes a free one on localhost and "
        "logs it. Without it none are taken.",
    ),
    click.option(
        "--alerts-token-file", type=_FILE, help="Token that whoever pushes alerts has to send. May be replaced."
    ),
    click.option("--alerts-cert-file", type=_FILE, help="Certificate to show them. May be replaced."),
    click.option("--alerts-key-file", type=_FILE, help="Key of that certificate, where it is not in the same file."),
    click.option(
        "--alerts-namespace-label",
        default=AlertLabels.namespace,
        help="Label by which an alert names the namespace of a ModelRollout.",
    ),
    click.option(
        "--alerts-rollout-label", default=AlertLabels.rollout, help="Label by which an alert names a ModelRollout."
    ),
)


def alert_options(command: F) -> F:
    """Give a command the options, in the order that they stand in here."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def alerts_from(options: dict[str, Any]) -> AlertSettings | None:
    """Take the options out; None where no alerts are to be taken.

    Raises:
        click.UsageError: they do not go together.
    """
    labels = AlertLabels(namespace=options.pop("alerts_namespace_label"), rollout=options.pop("alerts_rollout_label"))
    port = options.pop("alerts_port")
    files = {name: options.pop(f"alerts_{name}") for name in ("token_file", "cert_file", "key_file")}
    given = [f"--alerts-{name.replace('_', '-')}" for name, path in files.items() if path]
    if port is None and given:
        raise click.UsageError(f"--alerts-port is missing, which {given[0]} needs")
    if port is None:
        return None
    for name, path in files.items():
        if path and not path.is_file():  # what is no path may be the token itself, so it is not told
            raise click.UsageError(f"--alerts-{name.replace('_', '-')}: there is no such file")
    if files["token_file"] is None:
        raise click.UsageError("--alerts-port needs --alerts-token-file: whoever pushes alerts takes models back")
    if files["key_file"] and not files["cert_file"]:
        raise click.UsageError("--alerts-key-file needs --alerts-cert-file: give the certificate of the key")
    return AlertSettings(port=port, labels=labels, **files)
