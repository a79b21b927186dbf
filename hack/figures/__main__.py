"""How often healthy candidates are taken back, and how soon bad ones: `make figures` writes docs/figures.md."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from figures.promotion import promoted
from figures.simulation import World, bound, minute_by_minute, minutes_to_revert
from modelrollout.judge.eprocess import Array
from modelrollout.simulation.peers import argo, flagger, kayenta
from modelrollout.simulation.requests import Rate
from modelrollout.simulation.schedule import LOOK

WRITTEN = Path(__file__).parents[2] / "docs" / "figures.md"

BASE = 0.01
"""Stable's share of bad ones; others take a candidate back above twice as many."""

HEALTHY = {
    "0.5 requests a second": World(per_second=0.5, rate=Rate(base=BASE)),
    "5": World(per_second=5, rate=Rate(base=BASE)),
    "50": World(per_second=50, rate=Rate(base=BASE)),
    "500": World(per_second=500, rate=Rate(base=BASE)),
    "50, both versions at 5 % for ten minutes": World(per_second=50, rate=Rate(base=BASE, incident=(25, 35, 0.05))),
    "50, rates vary by 50 % from minute to minute": World(per_second=50, rate=Rate(base=BASE, variation=0.5)),
    "500, rates vary by 50 % from minute to minute": World(per_second=500, rate=Rate(base=BASE, variation=0.5)),
    "50, rates vary by 30 % for ten minutes": World(per_second=50, rate=Rate(base=BASE, variation=0.3, lasting=10)),
    "500, rates vary by 30 % for ten minutes": World(per_second=500, rate=Rate(base=BASE, variation=0.3, lasting=10)),
}
OTHERS = {"as Argo Rollouts": argo, "as Flagger": flagger, "as Kayenta": kayenta}
TIMES_AS_BAD = (1.5, 2, 3, 5, 10)
RATES = (5, 50, 500)


@click.command()
@click.option("--runs", default=2000, show_default=True, help="Simulated rollouts for each figure.")
@click.option("--seed", default=1, show_default=True, help="Of the random numbers.")
def main(runs: int, seed: int) -> None:
    """Simulate and write docs/figures.md."""
    lines = list(_page(runs, seed))
    WRITTEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
    click.echo(f"wrote {WRITTEN.name}")


def _page(runs: int, seed: int) -> Iterator[str]:
    yield "# Figures of the judge"
    yield ""
    yield f"Written by `make figures`: {runs:,} simulated rollouts for each figure, seed {seed}. Each takes an hour,"
    yield "with 5, 25 and 50 per cent of the requests for 20 minutes each; 1 % of stable's requests are bad. It is"
    yield f"looked at every {LOOK} seconds, compared with stable (25 % more is tolerated), by the functions that the"
    yield "operator judges with, noise read off four hours of stable's past."
    yield ""
    yield "## Healthy candidates that are taken back"
    yield ""
    yield "Beside the operator's, the judges of others, as `kubectl modelrollout simulate` has them, with a limit of"
    yield "2 % where they have one."
    yield ""
    yield f"| requests a second, and what happens | taken back | {' | '.join(OTHERS)} |"
    yield f"|---|---|{'---|' * len(OTHERS)}"
    for what, world in HEALTHY.items():
        seen = minute_by_minute(world, runs=runs, seed=seed)
        others = [_share(judge(seen, 2 * BASE, False)) for judge in OTHERS.values()]
        yield _told(f"| {what} | {_share(minutes_to_revert(world, runs=runs, seed=seed))} | {' | '.join(others)} |")
    yield ""
    yield "## Minutes until a bad candidate is taken back"
    yield ""
    yield "Median; in brackets the share that is found within the hour where that is below 99 %, and behind the stroke"
    yield "the bound that no test is quicker than on average, at one false alarm in a hundred: ln 100 over the relative"
    yield "entropy of what is seen to what is tolerated."
    yield ""
    yield f"| requests a second | {' | '.join(f'{times:g} times as bad' for times in TIMES_AS_BAD)} |"
    yield f"|---|{'---|' * len(TIMES_AS_BAD)}"
    for rate in RATES:
        worlds = (World(per_second=rate, rate=Rate(base=BASE, times=times)) for times in TIMES_AS_BAD)
        yield _told(f"| {rate} | {' | '.join(_harm(world, runs, seed) for world in worlds)} |")
    yield ""
    yield "## Minutes until a healthy candidate is promoted"
    yield ""
    yield "By the stages of a canary that says nothing else (1, 5, 10, 25, 50 and 100 per cent, five minutes each), at"
    yield "50 requests a second. Who is suspicious, or has seen too little, waits."
    yield ""
    holds, healthy = promoted(per_second=50, base=BASE, runs=runs, seed=seed)
    yield "| holds | promoted | median | 95 % within |"
    yield "|---|---|---|---|"
    yield _told(f"| {holds:g} | {healthy.share:.2%} | {_minutes(healthy.median)} | {_minutes(healthy.p95)} |")


def _share(minutes: Array) -> str:
    return f"{np.isfinite(minutes).mean():.2%}"


def _minutes(minutes: float | None) -> str:
    return "-" if minutes is None else f"{minutes:.2f}"


def _harm(world: World, runs: int, seed: int) -> str:
    minutes = minutes_to_revert(world, runs=runs, seed=seed)
    found, least = np.isfinite(minutes).mean(), bound(world)
    median = np.median(minutes)
    told = f"{median:.2f}" if np.isfinite(median) else "-"
    share = "" if found >= 0.99 else f" ({found:.0%})"
    return f"{told}{share} / {least:.2f}" if np.isfinite(least) else f"{told}{share} / -"


def _told(row: str) -> str:
    click.echo(row)
    return row


if __name__ == "__main__":
    main()
