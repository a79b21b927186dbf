"""A RolloutReport as a picture: what each SLO said over the stages of an attempt, and what was decided on that."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from textwrap import wrap
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from modelrollout.api.evidence import ENOUGH_EVIDENCE, SUSPICIOUS_EVIDENCE
from modelrollout.api.report import RolloutReport
from modelrollout.cli.trend import LEAST, Line, Span, Trend, decision, end, spans, trend
from modelrollout.engine.reasons import Reason

_CANDIDATE, _STABLE, _BOUND, _EVIDENCE, _DECISION = "#d55e00", "#0072b2", "#000000", "#6b4c9a", "#444444"
"""The versions have two of Okabe and Ito's, which those who see few colours can tell apart; shapes differ as well."""

_SHADES = ("#f4f4f4", "#e4e4e4")

_WIDTH, _HEAD, _STAGES, _VALUES, _PROOF, _FOOT = 10.0, 1.05, 0.3, 1.5, 0.9, 0.55
"""Inches: of the picture, and of the heights of its parts."""

_LEFT, _RIGHT = 0.09, 0.9
"""Where the panels begin and end, in parts of the width."""

_ROOM = 1.12
"""As far as axes go, in times of what is drawn."""

_LONG = 70
"""Letters of a query that a title has room for."""

_LETTER = 0.075
"""Inches that a letter of a stage's name takes at most."""

_FAINTEST, _STRONGEST = 0.01, 1000.0
"""Evidence beyond these is drawn at the edge: it says nothing more."""

_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text that can be searched and read out
    "svg.hashsalt": "modelrollout",  # the same report is the same picture
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 8.0,
    "text.parse_math": False,  # queries have dollars in them
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """Axes to be: how high they are, and how far below those above, in inches."""

    name: str
    height: float
    gap: float


def draw(told: RolloutReport) -> str:
    """The picture, as SVG."""
    trends = [trend(course, told.status.started) for course in told.status.course]
    with rc_context(_STYLE):
        figure = _figure(told, trends)
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Title": _title(told)})
    return written.getvalue()


def _figure(told: RolloutReport, trends: list[Trend]) -> Figure:
    panels = list(_panels(trends))
    height = _HEAD + sum(panel.gap + panel.height for panel in panels) + _FOOT
    figure = Figure(figsize=(_WIDTH, height))
    axes = _axes(figure, panels)
    stages = spans(told)
    _draw_stages(axes["stages"], stages)
    for one in trends:
        _draw_values(axes[f"values of {one.course.name}"], one)
        if one.is_share:
            _draw_evidence(axes[f"evidence of {one.course.name}"], one.evidence)
    for name, panel in axes.items():
        if name != "stages":
            _shade(panel, stages)
    _mark_decision(told, axes)
    _keep_time(told, list(axes.values()))
    _head(figure, told, trends)
    return figure


def _panels(trends: list[Trend]) -> Iterator[_Panel]:
    yield _Panel(name="stages", height=_STAGES, gap=0.0)
    for one in trends:
        yield _Panel(name=f"values of {one.course.name}", height=_VALUES, gap=0.45)
        if one.is_share:
            yield _Panel(name=f"evidence of {one.course.name}", height=_PROOF, gap=0.12)


def _axes(figure: Figure, panels: list[_Panel]) -> dict[str, Axes]:
    """One below the other, with one time."""
    height = figure.get_figheight()
    top, axes = height - _HEAD, dict[str, Axes]()
    for panel in panels:
        top -= panel.gap + panel.height
        shared = next(iter(axes.values()), None)
        place = (_LEFT, top / height, _RIGHT - _LEFT, panel.height / height)
        axes[panel.name] = figure.add_axes(place, sharex=shared, gid=panel.name)
    return axes


def _draw_stages(axes: Axes, stages: list[Span]) -> None:
    """Names and weights on a strip; where a stage was short, as much of them as fits."""
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)
    whole = sum((span.end - span.start).total_seconds() for span in stages)
    for shade, span in zip(_alternating(stages), stages, strict=True):
        axes.axvspan(_number(span.start), _number(span.end), color=shade, lw=0)
        length = (span.end - span.start).total_seconds()
        room = _WIDTH * (_RIGHT - _LEFT) * length / whole / _LETTER
        weight = "" if span.weight is None else f"{span.weight} %"
        full = f"{span.name}: {weight}" if weight else span.name
        label = next((words for words in (full, span.name, weight) if len(words) <= room), "")
        middle = _number(span.start + (span.end - span.start) / 2)
        axes.text(middle, 0.5, label, ha="center", va="center", transform=axes.get_xaxis_transform())


def _alternating(stages: list[Span]) -> Iterator[str]:
    """Shades of stages that lie beside each other; none before and after them."""
    for number, span in enumerate(stages):
        yield "#ffffff" if span.weight is None else _SHADES[number % len(_SHADES)]


def _shade(axes: Axes, stages: list[Span]) -> None:
    for shade, span in zip(_alternating(stages), stages, strict=True):
        axes.axvspan(_number(span.start), _number(span.end), color=shade, lw=0, zorder=-1)


def _draw_values(axes: Axes, one: Trend) -> None:
    axes.set_title(_about(one), loc="left", fontsize=8.5, fontweight="bold")
    lowest, highest = _bounds(one)
    axes.set_ylim(lowest, highest)
    _dots(axes, one.stable_in_stretches, _STABLE, "s")
    _dots(axes, one.candidate_in_stretches, _CANDIDATE, "o")
    _line(axes, _tolerated(one), _STABLE, dashes=":")
    _line(axes, one.stable, _STABLE)
    _line(axes, one.candidate, _CANDIDATE)
    for limit in _limit(one):
        axes.axhline(limit, color=_BOUND, ls="--", lw=1.1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    if one.is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_ylabel("share" if one.is_share else "value")
    axes.tick_params(labelbottom=False)


def _about(one: Trend) -> str:
    """What the panel is of and what it is held against."""
    course = one.course
    bounds = [course.asked if len(course.asked) <= _LONG else f"{course.asked[: _LONG - 1]}…"]
    if course.limit is not None:
        bounds.append(f"limit {100 * course.limit:.4g}%" if one.is_share else f"limit {course.limit:g}")
    if course.tolerated is not None:
        bounds.append(f"at {'most' if course.tolerated >= 1 else 'least'} {course.tolerated:.4g} times stable's")
    return f"{course.name}: {', '.join(bounds)}"


def _dots(axes: Axes, line: Line, colour: str, marker: str) -> None:
    """What does not fit is at the edge."""
    _, top = axes.get_ylim()
    shown = [min(value, top) for value in line.values]
    axes.plot(_numbers(line.at), shown, marker, color=colour, ms=3.5, mew=0, alpha=0.45, clip_on=False)


def _line(axes: Axes, line: Line, colour: str, dashes: str = "-") -> None:
    axes.plot(_numbers(line.at), line.values, dashes, color=colour, lw=1.6 if dashes == "-" else 1.3)


def _bounds(one: Trend) -> tuple[float, float]:
    """Of the axis: around all lines; single stretches may be far above them."""
    lines = [0.0, *one.candidate.values, *one.stable.values, *_tolerated(one).values, *_limit(one)]
    stretches = (*one.candidate_in_stretches.values, *one.stable_in_stretches.values)
    lowest, highest = min(lines), max(*lines, min(max(stretches, default=0.0), 2 * max(lines)))
    return _ROOM * lowest, _ROOM * highest if highest > lowest else 1.0


def _limit(one: Trend) -> list[float]:
    return [] if one.course.limit is None else [one.course.limit]


def _tolerated(one: Trend) -> Line:
    times = one.course.tolerated
    return Line() if times is None else Line(at=one.stable.at, values=tuple(times * one for one in one.stable.values))


def _draw_evidence(axes: Axes, evidence: Line) -> None:
    axes.set_yscale("log")
    axes.set_ylim(_FAINTEST / 1.4, _STRONGEST * 1.4)
    axes.set_yticks([0.01, 1, SUSPICIOUS_EVIDENCE, ENOUGH_EVIDENCE])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    shown = tuple(min(max(value, _FAINTEST), _STRONGEST) for value in evidence.values)
    axes.plot(_numbers(evidence.at), shown, color=_EVIDENCE, lw=1.5)
    for bound, meaning, dashes in ((SUSPICIOUS_EVIDENCE, "suspicious", ":"), (ENOUGH_EVIDENCE, "breach", "--")):
        axes.axhline(bound, color=_BOUND, ls=dashes, lw=1)
        axes.annotate(meaning, (1.005, bound), xycoords=axes.get_yaxis_transform(), va="center", annotation_clip=False)
    axes.set_ylabel("evidence")
    axes.tick_params(labelbottom=False)


def _mark_decision(told: RolloutReport, axes: dict[str, Axes]) -> None:
    decided = decision(told)
    if decided is None:
        return
    at = _number(decided.at)
    for panel in axes.values():
        panel.axvline(at, color=_DECISION, lw=1.4, ls=(0, (6, 2)))
    status, first = told.status, axes["stages"]
    is_taken_back = decided.reason == Reason.REVERTING and status.reason
    words = f"{status.outcome}: {status.reason}" if is_taken_back else decided.reason
    is_late = decided.at - status.started > (end(told) - status.started) / 2
    first.annotate(
        f"{words} ▼" if is_late else f"▼ {words}",
        (at, 1.0),
        xycoords=first.get_xaxis_transform(),
        xytext=(4 if is_late else -4, 3),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="bottom",
        fontweight="bold",
        color=_DECISION,
        annotation_clip=False,
        gid="decision",
    )


def _keep_time(told: RolloutReport, axes: list[Axes]) -> None:
    lowest = axes[-1]
    started = told.status.started
    length = max(end(told) - started, timedelta(seconds=1))
    lowest.set_xlim(_number(started), _number(started + 1.01 * length))
    locator = AutoDateLocator(tz=UTC, minticks=5, maxticks=10)  # type: ignore[no-untyped-call]
    lowest.xaxis.set_major_locator(locator)
    lowest.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))  # type: ignore[no-untyped-call]
    lowest.tick_params(bottom=True, labelbottom=True)
    lowest.set_xlabel(f"time in UTC, from {started:%Y-%m-%d %H:%M:%S} on")


def _title(told: RolloutReport) -> str:
    spec = told.spec
    before = f" (before: {spec.from_version})" if spec.from_version else ""
    return f"{spec.rollout}, attempt {spec.attempt}: version {spec.version}{before}, {told.status.outcome}"


def _head(figure: Figure, told: RolloutReport, trends: list[Trend]) -> None:
    height = figure.get_figheight()

    def down(inches: float) -> float:
        return 1 - inches / height

    figure.text(_LEFT, down(0.22), _title(told), fontsize=11, fontweight="bold")
    message = wrap(told.status.message, 130, max_lines=2, placeholder=" …")
    figure.text(_LEFT, down(0.28), "\n".join(message), va="top", color=_DECISION)
    figure.legend(
        handles=list(_keys(trends)),
        loc="upper left",
        bbox_to_anchor=(_LEFT - 0.005, down(0.55)),
        ncols=6,
        frameon=False,
    )


def _keys(trends: list[Trend]) -> Iterator[Line2D]:
    """What is drawn how, as far as it is drawn."""
    yield Line2D([], [], color=_CANDIDATE, lw=1.6, label="candidate so far")
    if any(one.stable.values for one in trends):
        yield Line2D([], [], color=_STABLE, lw=1.6, label="stable so far")
    if any(_tolerated(one).values for one in trends):
        yield Line2D([], [], color=_STABLE, ls=":", lw=1.3, label="tolerated")
    if any(one.course.limit is not None for one in trends):
        yield Line2D([], [], color=_BOUND, ls="--", lw=1.1, label="limit")
    if any(one.is_share for one in trends):
        about = f"stretches of {LEAST} requests or more"
        yield Line2D([], [], color=_CANDIDATE, marker="o", ls="", ms=4, mew=0, alpha=0.45, label=about)


def _number(moment: datetime) -> float:
    """A moment as matplotlib has it."""
    return float(date2num(moment))  # type: ignore[no-untyped-call]


def _numbers(moments: Iterable[datetime]) -> list[float]:
    return [_number(moment) for moment in moments]
