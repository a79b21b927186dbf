"""What is printed: for people with colours, for programs as JSON or YAML."""

import json
from typing import Any

import click
import yaml
from rich.console import Console

FORMATS = ("json", "yaml")

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", *FORMATS]),
    default="table",
    show_default=True,
    help="How to print it.",
)


def console() -> Console:
    """The terminal, or what stands in its place; looked at anew each time, since tests change it."""
    return Console(highlight=False)


def print_data(data: Any, output: str) -> None:
    """Print JSON types for programs, in one of FORMATS."""
    if output == "yaml":
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), nl=False)
    else:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
