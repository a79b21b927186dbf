"""The command line: `kubectl modelrollout --help`."""

import click

from modelrollout import __version__
from modelrollout.cli.exits import EPILOG
from modelrollout.cli.lazy import Entry, LazyGroup


def _entry(module: str, attribute: str, summary: str) -> Entry:
    return Entry(f"modelrollout.cli.{module}", attribute, summary)


_SECTIONS = {
    "Before anything moves": {
        "lint": _entry("lint", "lint", "Check ModelRollouts in files, without a cluster."),
        "plan": _entry("plan", "plan", "Show the stages that a ModelRollout stands for, before anything moves."),
        "simulate": _entry("simulate", "simulate", "Find out how a ModelRollout would judge, before anything moves."),
    },
    "See what happens": {
        "get": _entry("get", "get", "List ModelRollouts: where each is, and what it waits for."),
        "status": _entry("status", "status", "Show all that matters of one ModelRollout on one screen."),
        "history": _entry("records", "history", "List the attempts of a ModelRollout and how each ended."),
        "report": _entry("records", "report", "Tell how an attempt went, with the evidence behind each decision."),
        "wait": _entry("wait", "wait", "Wait until a ModelRollout is somewhere, and say so by the exit code."),
    },
    "Let it go on": {
        "approve": _entry("verbs", "approve", "Approve a stage in a role."),
        "sign-off": _entry("verbs", "sign_off", "Sign an item of a stage's checklist off."),
        "advance": _entry("verbs", "advance", "Leave the present stage upwards now."),
        "promote": _entry("verbs", "promote", "Give the candidate all requests, past the stages that are left."),
        "retry": _entry("verbs", "retry", "Try a version again that was taken back."),
    },
    "Keep it where it is": {
        "pause": _entry("verbs", "pause", "Keep the candidate in its stage."),
        "resume": _entry("verbs", "resume", "End a pause."),
        "exclude": _entry("verbs", "exclude", "Keep the requests of a cohort on stable."),
        "include": _entry("verbs", "include", "Split the requests of a cohort again."),
    },
    "Go back": {
        "abort": _entry("verbs", "abort", "Take the candidate back."),
        "revert": _entry("verbs", "revert", "Go back to the version before, or to one that is named."),
        "undo": _entry("verbs", "undo", "Take a promotion back."),
        "kill": _entry("verbs", "kill", "Put stable back and try nothing new until it is lifted."),
        "lift": _entry("verbs", "lift", "End what kill began."),
    },
    "Set up": {
        "completion": _entry("completion", "completion", "Print the completion script of a shell."),
    },
}


@click.group(
    cls=LazyGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="kubectl-modelrollout")
def main() -> None:
    """Roll model versions out, see how that goes, and take them back.

    As a plugin of kubectl it is `kubectl modelrollout`, with kubectl's configuration and rights.
    """
