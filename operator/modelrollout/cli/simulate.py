"""`simulate`: how often a spec takes good versions back, how soon bad ones, and what others would make of the same."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from modelrollout.api.quantities import parse_number
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.cli.files import read_documents
from modelrollout.cli.lint import accepted
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.times import written
from modelrollout.simulation.answers import Answer, Fault, Found, Promotion, Setting, answered
from modelrollout.simulation.schedule import judging, legs, scheduled_seconds

_USUAL = 0.01
"""Stable's share of bad ones where nothing says another."""

_ALMOST_ALL = 0.99
"""With so many found, how many is not worth a word."""


class _Share(click.ParamType[float]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = value if isinstance(value, float) else parse_number(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 <= share < 1:
            self.fail(f"{value} is no share from 0% to under 100%, such as 0.5%", param, ctx)
        return share


class _NamedShare(click.ParamType[tuple[str, float]]):
    name = "name=share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, equals, share = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not the name of an SLO and a share, such as latency=2%", param, ctx)
        return name, _Share().convert(share, param, ctx)


@click.command()
@click.option("-f", "--filename", "file", type=click.File(), required=True, help="File with ModelRollouts; - is stdin.")
@click.option(
    "--rps",
    type=click.FloatRange(min=0, min_open=True, max=1e6),
    default=50.0,
    show_default=True,
    help="Requests a second, of both versions together.",
)
@click.option("--error-rate", type=_Share(), help="Stable's share of requests that fail: of SLOs with error-ratio.")
@click.option(
    "--rate",
    "rates",
    type=_NamedShare(),
    multiple=True,
    help="NAME=SHARE: stable's share of what the SLO of that name counts. May be given several times.",
)
@click.option(
    "--times-worse",
    type=click.FloatRange(min=1, min_open=True),
    multiple=True,
    default=(2.0, 5.0),
    show_default=True,
    help="How many times as bad a faulty candidate is. May be given several times.",
)
@click.option("--runs", type=click.IntRange(1, 100_000), default=2000, show_default=True, help="Rollouts of each kind.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the random numbers.")
@output_option
def simulate(
    *,
    file: TextIO,
    rps: float,
    error_rate: float | None,
    rates: tuple[tuple[str, float], ...],
    times_worse: tuple[float, ...],
    runs: int,
    seed: int,
    output: str,
) -> None:
    """Find out how a ModelRollout would judge, before anything moves.

    How often a candidate that is as good as stable is taken back, how soon one that is worse in one of the SLOs, how
    many are promoted and how long that takes: by the stages and SLOs of the file, and the functions that the operator
    judges with. Beside it, what Argo Rollouts, Flagger, Kayenta and GrowthBook would make of the very same requests.

    Where no rate is given, stable has half of the SLO's limit, or 1 % where there is none. Others get the SLO's limit,
    or twice stable's share where there is none; one SLO that is breached is enough for all. The others judge once a
    minute: Argo Rollouts takes back at the fourth measurement that fails (failureLimit 3), Flagger at the fifth
    (threshold 5), both also fail without requests; Kayenta asks at 20, 40 and 60 minutes and at the end of what is
    shorter, by the Mann-Whitney test; GrowthBook by its sequential interval of the relative change.

    Assumed: requests arrive by chance alone (Poisson) and are all alike, rates do not vary by themselves, and four
    hours of stable's past are known. It is looked at every 5 seconds in the first five minutes of a stage, then every
    minute; with a plain limit every 5 seconds to the end. Loading pods, windows, approvals and requests of cohorts
    take no part in it, nor do SLOs with a query, and those that only tell.
    """
    rollouts = [accepted(one, file.name) for one in read_documents(file).rollouts]
    settings = [
        _setting(one, rps=rps, error_rate=error_rate, rates=dict(rates), runs=runs, seed=seed) for one in rollouts
    ]
    answers = [_answered(one, times_worse) for one in settings]
    if output != "table":
        print_data([_to_wire(*one) for one in zip(rollouts, settings, answers, strict=True)], output)
        return
    for rollout, setting, answer in zip(rollouts, settings, answers, strict=True):
        _show(rollout, setting, answer, console())


def _setting(
    rollout: ModelRollout,
    *,
    rps: float,
    error_rate: float | None,
    rates: Mapping[str, float],
    runs: int,
    seed: int,
) -> Setting:
    """What is to be simulated; a ClickException says by name what cannot be."""
    name, slos = rollout.metadata.get("name", "?"), judging(rollout.spec.slos)
    if not slos:
        raise click.ClickException(f"{name} cannot be simulated: {_why_nothing_judges(rollout.spec.slos)}")
    if unknown := sorted(set(rates) - {slo.name for slo in slos}):
        known = ", ".join(slo.name for slo in slos)
        raise click.ClickException(f"--rate {unknown[0]}: {name} has no such SLO that counts and decides, only {known}")
    try:
        planned = legs(rollout.spec)
    except ValueError as error:
        raise click.ClickException(f"{name} cannot be simulated: {error}") from error
    bases = {slo.name: _base(slo, error_rate, rates) for slo in slos}
    return Setting(legs=planned, slos=slos, bases=bases, per_second=rps, runs=runs, seed=seed)


def _why_nothing_judges(slos: Sequence[Slo]) -> str:
    if not slos:
        return "it has no SLO"
    queries = ", ".join(slo.name for slo in slos if not slo.counts)
    tell = ", ".join(slo.name for slo in slos if slo.counts)
    said = [f"{queries}: what a query yields is not known here" if queries else ""]
    said += [f"{tell}: it only tells, and decides nothing" if tell else ""]
    return "; ".join(filter(None, said))


def _base(slo: Slo, error_rate: float | None, rates: Mapping[str, float]) -> float:
    """Stable's share."""
    usual = _USUAL if slo.limit is None else parse_number(slo.limit) / 2
    of_metric = error_rate if slo.metric is BuiltInMetric.ERROR_RATIO else None
    base = rates.get(slo.name, usual if of_metric is None else of_metric)
    if not base:
        raise click.ClickException(
            f"SLO {slo.name} counts nothing at a rate of 0, and no times that is worse: set --rate {slo.name}=SHARE"
        )
    return base


def _answered(setting: Setting, times_worse: Sequence[float]) -> Answer:
    kinds = 1 + len(setting.slos) * len(times_worse)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("simulating", total=kinds * scheduled_seconds(setting.legs))
        return answered(setting, times_worse, told=lambda seconds: progress.advance(task, seconds))


def _to_wire(rollout: ModelRollout, setting: Setting, answer: Answer) -> dict[str, Any]:
    """For programs; times are in seconds."""
    promotion = answer.promotion
    return {
        "name": rollout.metadata.get("name"),
        "runs": setting.runs,
        "seed": setting.seed,
        "requestsPerSecond": setting.per_second,
        "slos": [
            {"name": slo.name, "rate": setting.bases[slo.name], "limitOfOthers": setting.limit_of_peers(slo)}
            for slo in setting.slos
        ],
        "leftOut": [slo.name for slo in _left_out(rollout, setting)],
        "healthy": [_found_to_wire(one) for one in answer.healthy],
        "promotion": {
            "share": promotion.share,
            "medianSeconds": _seconds(promotion.median),
            "p90Seconds": _seconds(promotion.p90),
            "p95Seconds": _seconds(promotion.p95),
            "holdsSeconds": scheduled_seconds(setting.legs),
        },
        "faults": [
            {"slo": one.slo, "timesWorse": one.times, "judges": [_found_to_wire(found) for found in one.judges]}
            for one in answer.faults
        ],
    }


def _found_to_wire(found: Found) -> dict[str, Any]:
    return {
        "judge": found.judge,
        "takenBack": found.share,
        "interval": [found.low, found.high],
        "medianSeconds": _seconds(found.median),
    }


def _seconds(minutes: float | None) -> int | None:
    return None if minutes is None else round(minutes * 60)


def _left_out(rollout: ModelRollout, setting: Setting) -> list[Slo]:
    judged = {slo.name for slo in setting.slos}
    return [slo for slo in rollout.spec.slos if slo.name not in judged]


def _show(rollout: ModelRollout, setting: Setting, answer: Answer, screen: Console) -> None:
    """For people."""
    for line in _assumptions(rollout, setting):
        screen.print(line, markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("TAKEN BACK", *(found.judge.upper() for found in answer.healthy)):
        table.add_column(column)
    table.add_row("as good as stable", *(_taken_back(found) for found in answer.healthy))
    for fault in answer.faults:
        table.add_row(_faulty(fault, setting), *(_when(found) for found in fault.judges))
    screen.print(table)
    holds = written(timedelta(seconds=scheduled_seconds(setting.legs)))
    screen.print(_promoted(answer.promotion, holds), markup=False)


def _assumptions(rollout: ModelRollout, setting: Setting) -> Iterator[str]:
    name = rollout.metadata.get("name", "?")
    many = f"{setting.runs:,} rollouts of each kind, {setting.per_second:g} requests a second"
    yield f"{name}: {many}, seed {setting.seed}"
    for slo in setting.slos:
        base, limit = setting.bases[slo.name], setting.limit_of_peers(slo)
        yield f"SLO {slo.name} counts {base:.4g} of stable's requests; others hold it against {limit:.4g}"
    if left_out := ", ".join(slo.name for slo in _left_out(rollout, setting)):
        yield f"left out, as they are queries or decide nothing: {left_out}"
    if cohorts := ", ".join(leg.stage.name for leg in setting.legs if leg.stage.match):
        yield f"the requests of cohorts are left out, in {cohorts}"


def _faulty(fault: Fault, setting: Setting) -> str:
    of = f" in {fault.slo}" if len(setting.slos) > 1 else ""
    return f"{fault.times:g} times as bad{of}"


def _taken_back(found: Found) -> str:
    return f"{found.share:.2%} ({found.low:.2%} to {found.high:.2%})"


def _when(found: Found) -> str:
    """The median of all, beside the share that is found where that is not almost all."""
    share = "" if found.share >= _ALMOST_ALL else f" ({found.share:.0%})"
    median = "-" if found.median is None else f"after {written(timedelta(minutes=found.median))}"
    return f"{median}{share}"


def _promoted(promotion: Promotion, holds: str) -> str:
    if promotion.median is None:
        return f"{promotion.share:.1%} of the good ones are promoted; the holds are {holds}"
    median = written(timedelta(minutes=promotion.median))
    p90 = "more" if promotion.p90 is None else written(timedelta(minutes=promotion.p90))
    return (
        f"{promotion.share:.1%} of the good ones are promoted, half of them within {median}, 90 % within {p90}; "
        f"the holds are {holds}"
    )
