"""Options of the operator by which it reaches Prometheus."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from modelrollout.metrics.access import Access, AccessError, described, named_in, option_of

F = TypeVar("F", bound=Callable[..., Any])

_PREFIX = "prometheus_"


class _Header(click.ParamType[tuple[str, str]]):
    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, separator, text = str(value).partition("=")
        if not separator:
            self.fail("it is not a name and a value such as X-Scope-OrgID=ml", param, ctx)
        return name, text


_OPTIONS = (
    click.option(
        "--prometheus-url",
        metavar="URL",
        help="Prometheus, or anything that answers its HTTP API. Without it no SLO can be judged.",
    ),
    click.option(
        "--prometheus-bearer-token-file",
        metavar="FILE",
        help="Token to send to Prometheus. Like every file here it may be replaced at any time.",
    ),
    click.option("--prometheus-username", metavar="NAME", help="User that Prometheus knows us by."),
    click.option("--prometheus-password-file", metavar="FILE", help="Password of that user."),
    click.option(
        "--prometheus-ca-file",
        metavar="FILE",
        help="Certificates of those who vouch for Prometheus, in place of those that the system trusts.",
    ),
    click.option(
        "--prometheus-cert-file", metavar="FILE", help="Certificate to show to Prometheus; may hold its key as well."
    ),
    click.option("--prometheus-key-file", metavar="FILE", help="Key of that certificate."),
    click.option(
        "--prometheus-insecure-skip-verify",
        is_flag=True,
        help="Take whoever answers for Prometheus. Whoever can do that decides which models are taken back.",
    ),
    click.option(
        "--prometheus-header",
        "prometheus_headers",
        type=_Header(),
        multiple=True,
        envvar="MODELROLLOUT_PROMETHEUS_HEADER",
        help="Sent with every question, such as X-Scope-OrgID=TENANT; may be repeated. No secrets.",
    ),
    click.option(
        "--prometheus-timeout",
        metavar="DURATION",
        default="3s",
        help="How long Prometheus may take for an answer, 10s at most.",
    ),
    click.option(
        "--prometheus-sources",
        metavar="FILE",
        help="YAML with further ones under sources, each with a name, which ModelRollouts give in spec.prometheus, a "
        "url, and fields like the options here: bearerTokenFile, headers, …",
    ),
)


def prometheus_options(command: F) -> F:
    """Give a command the options, in the order that they stand in here."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def prometheus_from(options: dict[str, Any]) -> tuple[Access, ...]:
    """Take the options out: the default one, where there is a URL, and those in the file.

    Raises:
        click.UsageError: they do not go together.
    """
    given = {name.removeprefix(_PREFIX): options.pop(name) for name in list(options) if name.startswith(_PREFIX)}
    sources = given.pop("sources")
    return (*_default(given), *(_from_file(sources) if sources else ()))


def _default(given: Mapping[str, Any]) -> list[Access]:
    fields = {field: value for field, value in given.items() if value}
    if "url" not in fields:
        if idle := [option_of(field) for field in fields if field != "timeout"]:
            raise click.UsageError(f"--prometheus-url is missing, which {idle[0]} needs")
        return []
    try:
        return [described(fields | {"headers": dict(fields.get("headers", ()))})]
    except AccessError as error:
        raise click.UsageError(str(error)) from None


def _from_file(sources: str) -> list[Access]:
    try:
        return named_in(Path(sources))
    except AccessError as error:
        raise click.UsageError(f"--prometheus-sources: {error}") from None
