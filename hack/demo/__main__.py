"""`make demo`, or `PYTHONPATH=operator:hack python -m demo`."""

import sys

from rich.console import Console

from stack import NotReachedError
from testbed import BedError

from .story import BED, NAMESPACE, tell


def main() -> int:
    """Tell the story; 0 when all that it proves holds."""
    console = Console(highlight=False)
    try:
        holds = tell(console)
    except KeyboardInterrupt:
        console.print(f"\ninterrupted; the bed {BED} is still up: `make down` removes it")
        return 130
    except (BedError, NotReachedError) as error:
        console.print(f"[red]failed:[/] {error}", markup=True, soft_wrap=True)
        return 1
    console.print(
        f"The cluster is still up. Look around:  .venv/bin/python -m testbed kubectl --name {BED} "
        f"-n {NAMESPACE} describe mr digits   (with PYTHONPATH=hack)\nRemove everything:  make down",
        soft_wrap=True,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
