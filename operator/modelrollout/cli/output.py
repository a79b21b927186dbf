"""What is printed: for people with colours, for programs as JSON or YAML."""

import json
import os
import sys
from typing import Any

import click
import yaml
from rich.console import Console

FORMATS = ("json", "yaml")

_PIPE_WIDTH = 250

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", *FORMATS]),
    default="table",
    show_default=True,
    help="How to print it.",
)


def console() -> Console:
    """The terminal, or what stands in its place. A pipe has room for whole lines."""
    cut = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if cut else _PIPE_WIDTH)


def print_data(data: Any, output: str) -> None:
    """Print JSON types for programs, in one of FORMATS."""
    if output == "yaml":
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), nl=False)
    else:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
