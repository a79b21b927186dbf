"""Running other programs."""

import pytest

from testbed import commands
from testbed.errors import BedError


def test_what_is_missing_of_the_machine_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ENDS_WITH_US", ("no-such-setpriv",))
    with pytest.raises(BedError, match=r"no-such-setpriv(?s:.*)fix: run on Linux"):
        commands.run("true")


def test_a_failure_is_told_in_the_programs_own_words() -> None:
    with pytest.raises(BedError, match=r"sh -c .* failed:\nout of paper"):
        commands.run("sh", "-c", "echo out of paper >&2; exit 3")
