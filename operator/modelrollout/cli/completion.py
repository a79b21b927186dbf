"""Completion: the script of a shell, and the answers that kubectl asks a plugin for.

kubectl looks for an executable `kubectl_complete-modelrollout` and gives it the words after `kubectl modelrollout`, the
last one unfinished. It answers with a suggestion a line, a tab and a description behind it, and a directive in the last
line, as programs built with cobra do.
"""

import sys

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from modelrollout.cli.main import main

PROGRAM = "kubectl-modelrollout"
VARIABLE = "_KUBECTL_MODELROLLOUT_COMPLETE"
"""What click's scripts set to ask the program itself for suggestions."""

_ANY_FILE, _NO_FILE = ":0", ":4"
"""Directives: let the shell offer files, or not."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: source <(kubectl-modelrollout completion bash)
    zsh:  source <(kubectl-modelrollout completion zsh)
    fish: kubectl-modelrollout completion fish | source

    It completes `kubectl-modelrollout`. `kubectl modelrollout` is completed by kubectl's own completion (kubectl
    completion --help), which asks `kubectl_complete-modelrollout`; that is installed beside this program.
    """
    found = get_completion_class(shell)
    if found is None:
        raise AssertionError(f"click knows {shell}")
    click.echo(found(main, {}, PROGRAM, VARIABLE).source())


def complete_for_kubectl() -> None:
    """The program `kubectl_complete-modelrollout`."""
    *before, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, PROGRAM, VARIABLE).get_completions(before, incomplete)
    for item in found:
        if item.type == "plain":
            click.echo(_line(item))
    click.echo(_ANY_FILE if any(item.type != "plain" for item in found) else _NO_FILE)


def _line(item: CompletionItem) -> str:
    return f"{item.value}\t{item.help}" if item.help else item.value
