"""`make prove`: try candidates on real pods, and write docs/proof.md."""

import signal
import sys
from pathlib import Path

import click

from stack import NotReachedError
from testbed import BedError, down

from .cases import CASES
from .page import written
from .trials import BED, Trial, try_all

WRITTEN = Path(__file__).parents[2] / "docs" / "proof.md"


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, help="Try only cases with this in their name, and write nothing.")
def main(only: tuple[str, ...]) -> None:
    """Try healthy and faulty candidates on a cluster with real pods; takes about half an hour."""
    cases = tuple(case for case in CASES if not only or any(word in case.name for word in only))
    trials: list[Trial] = []
    try:
        for trial in try_all(cases):
            trials.append(trial)
            if not only:
                WRITTEN.write_text(written(trials), encoding="utf-8")
    except (BedError, NotReachedError) as error:
        sys.exit(f"failed: {error}")
    finally:
        down(BED)
    click.echo(written(trials))
    wrong = [one for one in trials if one.reverted == one.case.is_healthy]
    sys.exit(f"{len(wrong)} of {len(trials)} candidates were not judged as they are" if wrong else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    main()
