"""The command line: `kubectl modelrollout --help`."""

import click

from modelrollout import __version__
from modelrollout.cli.plan import plan


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="kubectl-modelrollout")
def main() -> None:
    """Plan model rollouts."""


main.add_command(plan)
