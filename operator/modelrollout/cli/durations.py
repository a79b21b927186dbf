"""Lengths of time on the command line, written as in a spec."""

from typing import Any

import click

from modelrollout.api.quantities import parse_duration


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = _Duration()
"""`90s` or `1h30m`, as seconds."""
