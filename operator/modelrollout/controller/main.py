"""The command `modelrollout-operator`."""

import asyncio
import sys
from datetime import timedelta
from typing import Any

import click

from modelrollout import __version__
from modelrollout.api.quantities import parse_duration
from modelrollout.controller.alert_options import alert_options, alerts_from
from modelrollout.controller.kinds import Key
from modelrollout.controller.logs import LEVELS, configure
from modelrollout.controller.prometheus_options import prometheus_from, prometheus_options
from modelrollout.controller.run import run
from modelrollout.controller.settings import CannotStartError, Settings


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def __init__(self, *, least: str = "1ms") -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            duration = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration < parse_duration(self._least):
            self.fail(f"must be {self._least} at least", param, ctx)
        return duration


class _NamespacedName(click.ParamType[Key]):
    name = "namespace/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Key:
        namespace, _, name = str(value).partition("/")
        if not namespace or not name or "/" in name:
            self.fail(f"{value!r} is not a namespace and a name such as modelrollout/operator", param, ctx)
        return Key(namespace, name)


@click.command(context_settings={"auto_envvar_prefix": "MODELROLLOUT", "show_default": True})
@prometheus_options
@alert_options
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    envvar="MODELROLLOUT_NAMESPACE",
    help="Namespace to look after; may be repeated (separated by spaces in the environment). Without it, all of them.",
)
@click.option(
    "--lease",
    type=_NamespacedName(),
    help="Lease by which several operators agree on the one that acts. Without it, this must be the only one.",
)
@click.option(
    "--lease-duration",
    type=_Duration(least="3s"),
    default="15s",
    help="How long after an operator has died another one takes over, in whole seconds.",
)
@click.option(
    "--copy-secrets",
    is_flag=True,
    help="Let ModelRollouts have the Secrets that they name copied (spec.copies.secrets). Needs rights on Secrets.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log lines.")
@click.option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), default="info", help="Least log level.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=8080,
    help="Port of /metrics, /healthz and /readyz; 0 takes a free one on localhost and logs it.",
)
@click.option(
    "--poll-interval",
    type=_Duration(),
    default="500ms",
    help="How often Prometheus is asked, for all rollouts together, while any candidate takes requests.",
)
@click.option("--workers", type=click.IntRange(1, 1000), default=32, help="Rollouts that are worked on at once.")
@click.option(
    "--resync",
    type=_Duration(),
    default="10m",
    help="How often everything is listed, to find what a watch may have lost.",
)
@click.version_option(__version__)
def main(**options: Any) -> None:
    """Roll machine-learning models out safely: the operator of modelrollout.io.

    Works in the cluster that its pod runs in, or else in that of the current kubeconfig context. Every option can also
    be given in the environment, as MODELROLLOUT_ and its name: MODELROLLOUT_PROMETHEUS_URL, MODELROLLOUT_LOG_LEVEL, …
    """
    settings = Settings(prometheus=prometheus_from(options), alerts=alerts_from(options), **options)
    configure(log_format=settings.log_format, level=settings.log_level)
    try:
        status = asyncio.run(run(settings))
    except CannotStartError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)
