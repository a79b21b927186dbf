"""`make demo`, or `PYTHONPATH=operator:hack python -m demo`."""

import sys

import httpx
from rich.console import Console
from rich.text import Text

from stack import NotReachedError
from testbed import BedError
from testbed.paths import COMMAND

from .story import BED, NAMESPACE, tell


def main() -> int:
    """Tell the story; 0 when all that it proves holds."""
    console = Console(highlight=False)
    try:
        holds = tell(console)
    except KeyboardInterrupt:
        console.print(f"\ninterrupted; the bed {BED} is still up: `make down` removes it")
        return 130
    except (BedError, NotReachedError, RuntimeError, httpx.HTTPError) as error:
        console.print(Text("failed:", "red"), Text(str(error)), soft_wrap=True)
        return 1
    console.print(
        f"The cluster is still up. Look around:  {COMMAND} kubectl --name {BED} "
        f"-n {NAMESPACE} describe mr digits\nRemove it:  make down",
        soft_wrap=True,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
