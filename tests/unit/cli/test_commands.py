"""The command line as a whole: what it lists, what it imports, what it asks before it does harm."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from modelrollout.cli.main import main

CONTEXT = click.Context(main)
NAMES = main.list_commands(CONTEXT)
WANTED = (
    "get status lint plan simulate approve sign-off pause resume advance promote revert abort retry kill lift exclude "
    "include undo history report wait completion"
)


def test_every_command_is_there() -> None:
    assert sorted(NAMES) == sorted(WANTED.split())


@pytest.mark.parametrize("name", NAMES)
def test_the_list_says_what_the_help_of_a_command_begins_with(name: str) -> None:
    assert isinstance(main, click.Group)
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert command.name == name
    (summary,) = (entries[name].summary for entries in main.sections.values() if name in entries)
    assert (command.help or "").startswith(summary.removesuffix("."))
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_wrong_usage() -> None:
    done = CliRunner().invoke(main, ["rollback"])
    assert done.exit_code == 2
    assert "No such command 'rollback'" in done.stderr


def test_help_and_completion_do_not_import_what_only_commands_need() -> None:
    look = (
        "import sys; from click.shell_completion import ShellComplete; from modelrollout.cli.main import main;"
        "main(['--help'], standalone_mode=False); ShellComplete(main, {}, '', '').get_completions([], 'st');"
        "sys.exit(str([one for one in ('kubernetes', 'pydantic', 'rich', 'cel') if one in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", look], check=False, capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("command", ["lint", "plan", "simulate"])
def test_what_needs_no_cluster_does_not_import_its_client(command: str) -> None:
    look = (
        "import sys; from modelrollout.cli.main import main; main([sys.argv[1], '--help'], standalone_mode=False);"
        "sys.exit(str('kubernetes' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", look, command], check=False, capture_output=True, text=True)
    assert done.stderr == "False\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_KUBECTL_MODELROLLOUT_COMPLETE={shell}_complete" in done.output
