"""Exit codes, which scripts can rely on."""

from enum import IntEnum

import click


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 124
    """As of timeout(1)."""


EPILOG = """\b
Exit codes:
  0    done; for wait: reached
  1    refused, failed, or found something wrong; for wait: the opposite was reached
  2    wrong usage
  124  timed out
"""


class TimedOutError(click.ClickException):
    """What was waited for did not come in time."""

    exit_code = Exit.TIMED_OUT
