"""How the series of a model server or a proxy are read: one data file each in `templates/`."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelrollout.api import labels
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import BuiltInMetric, MetricSource, Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour

REQUESTS, FAILED, TIMED = "requests", "failed", "timed"
"""Names of tallies; `within` names the ones of bucket edges."""

UP = "up"
_METRIC_NAME = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One attempt of one colour of a rollout."""

    namespace: str
    rollout: str
    colour: Colour
    attempt: int


ArmKey = tuple[str, ...]
"""The label values by which an arm's series are known."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def sanitized(label: str) -> str:
    """A Kubernetes label name as Prometheus's service discovery writes it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


NAME_LABEL, COLOUR_LABEL, ATTEMPT_LABEL = (sanitized(name) for name in (labels.NAME, labels.COLOUR, labels.ATTEMPT))


class PodLabels(_Data):
    """Series of pods, known by the pod labels that the scrape configuration carries over."""

    by: Literal["podLabels"]

    def group(self, arm: Arm) -> tuple[str, ...]:
        """Arms of one group share a query. Each colour has its own: together they would fetch stable's series too."""
        return NAME_LABEL, arm.colour.value

    @property
    def heartbeat(self) -> tuple[str, ...]:
        """Series that tell about scrapes and are asked for as well."""
        return (UP,)

    @property
    def restarts_by(self) -> tuple[str, ...]:
        """No label besides those of the scrape: a pod's counters begin anew together."""
        return ()

    def keys(self, arm: Arm) -> tuple[ArmKey, ...]:
        """What the arm's series say of themselves."""
        return ((arm.namespace, arm.rollout, arm.colour.value, str(arm.attempt)),)

    def key_in(self, series: Mapping[str, str]) -> ArmKey:
        """The arm that a series belongs to, by its labels."""
        get = series.get
        return get("namespace", ""), get(NAME_LABEL, ""), get(COLOUR_LABEL, ""), get(ATTEMPT_LABEL, "")

    def matcher(self, arms: Iterable[Arm]) -> str:
        """Label matchers that find the series of the arms of a group."""
        colour, rollouts = zip(*sorted({(arm.colour.value, arm.rollout) for arm in arms}), strict=True)
        return f'{NAME_LABEL}=~"{"|".join(rollouts)}",{COLOUR_LABEL}="{colour[0]}"'


class OneLabel(_Data):
    """Series of a proxy, known by the value of one label."""

    by: Literal["label"]
    label: str
    value: str = Field(description="With {namespace}, {rollout}, {rule} and {backend} filled in.")
    rules: tuple[int, ...] = Field(min_length=1)
    backends: Mapping[Colour, int]

    def group(self, arm: Arm) -> tuple[str, ...]:  # noqa: ARG002
        """Arms of one group share a query."""
        return (self.label,)

    @property
    def heartbeat(self) -> tuple[str, ...]:
        """Nothing: whether a proxy is up says nothing of one backend, and its request counter is always there."""
        return ()

    @property
    def restarts_by(self) -> tuple[str, ...]:
        """Counters of a backend of a rule begin anew when the proxy forgets it, whatever becomes of the others."""
        return (self.label,)

    def keys(self, arm: Arm) -> tuple[ArmKey, ...]:
        """What the arm's series say of themselves, rule by rule; they do not tell attempts apart."""
        names = {"namespace": arm.namespace, "rollout": arm.rollout, "backend": self.backends[arm.colour]}
        return tuple((self.value.format(**names, rule=rule),) for rule in self.rules)

    def any_backend(self, namespace: str, rollout: str) -> str:
        """A regular expression for the label values of all backends of a rollout."""
        return self.value.format(namespace=namespace, rollout=rollout, rule="[0-9]+", backend="[0-9]+")

    def key_in(self, series: Mapping[str, str]) -> ArmKey:
        """The arm that a series belongs to, by its labels."""
        return (series.get(self.label, ""),)

    def matcher(self, arms: Iterable[Arm]) -> str:
        """Label matchers that find the series of the arms of a group.

        Label values here are made of DNS names, slashes and digits: there is nothing to escape.
        """
        values = sorted({value for arm in arms for (value,) in self.keys(arm)})
        return f'{self.label}=~"{"|".join(values)}"'


def _is_regex(text: str) -> str:
    re.compile(text)
    return text


Patterns = Mapping[str, Annotated[str, AfterValidator(_is_regex)]]
"""Regular expressions that whole label values match."""


class Filter(_Data):
    """Which series of a family count."""

    where: Patterns = {}
    unless: Patterns = {}

    def matches(self, series: Mapping[str, str]) -> bool:
        """Whether a series counts, by its labels."""
        return all(re.fullmatch(pattern, series.get(label, "")) for label, pattern in self.where.items()) and not any(
            re.fullmatch(pattern, series.get(label, "")) for label, pattern in self.unless.items()
        )


class Counter(Filter):
    """Series of a counter."""

    series: str = Field(pattern=_METRIC_NAME)


class Histogram(Filter):
    """Series of a classic histogram."""

    histogram: str = Field(pattern=_METRIC_NAME)
    unit: Literal["s", "ms"]
    edges: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    """In `unit`, ascending."""

    def edge(self, slower_than: str) -> float | None:
        """The edge that a duration is, in `unit`; None when it is none of them."""
        milliseconds = parse_duration(slower_than).total_seconds() * 1000
        return next((edge for edge in self.edges if abs(self._milliseconds(edge) - milliseconds) < 1e-6), None)

    def nearest(self, slower_than: str) -> list[str]:
        """The edges on both sides of a duration, as users write them."""
        milliseconds = parse_duration(slower_than).total_seconds() * 1000
        below = [edge for edge in self.edges if self._milliseconds(edge) < milliseconds][-1:]
        above = [edge for edge in self.edges if self._milliseconds(edge) > milliseconds][:1]
        return [self._written(edge) for edge in below + above if self._milliseconds(edge).is_integer()]

    def _milliseconds(self, edge: float) -> float:
        return round(edge * 1000, 6) if self.unit == "s" else edge

    def _written(self, edge: float) -> str:
        milliseconds = int(self._milliseconds(edge))
        return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


class Template(_Data):
    """How one model server or proxy counts its requests."""

    name: str
    attribution: Annotated[PodLabels | OneLabel, Field(discriminator="by")]
    requests: Counter
    failed: Counter
    durations: Histogram

    def wanted(self, slo: Slo) -> frozenset[str]:
        """Tallies that an SLO is judged by; none when its threshold is not a bucket edge."""
        if slo.metric is BuiltInMetric.ERROR_RATIO:
            return frozenset({REQUESTS, FAILED})
        edge = self.durations.edge(slo.slower_than or "")
        return frozenset() if edge is None else frozenset({TIMED, within(edge)})

    def series_names(self, wanted: Iterable[str]) -> set[str]:
        """Names of the series to ask for; the request counter always, since it shows when a target was scraped."""
        asked = {self.requests.series, *self.attribution.heartbeat}
        for tally in wanted:
            if tally == FAILED:
                asked.add(self.failed.series)
            elif tally != REQUESTS:
                suffix = "count" if tally == TIMED else "bucket"
                asked.add(f"{self.durations.histogram}_{suffix}")
        return asked

    def edge_labels(self, wanted: Collection[str]) -> set[str]:
        """Values of `le` to ask for, in every spelling that servers and Prometheus versions use (1, 1.0, 3.6e+06)."""
        edges = [edge for edge in self.durations.edges if within(edge) in wanted]
        return {spelling for edge in edges for spelling in (f"{edge:g}", f"{edge:.15g}", str(float(edge)))}

    def tallies(self, series: Mapping[str, str]) -> frozenset[str] | None:
        """Tallies that a series counts for; None when it is not of this template."""
        name, histogram = series["__name__"], self.durations.histogram
        if name == f"{histogram}_count":
            return frozenset({TIMED} if self.durations.matches(series) else ())
        if name == f"{histogram}_bucket":
            return frozenset({within(float(series.get("le", "nan")))} if self.durations.matches(series) else ())
        counters = {REQUESTS: self.requests, FAILED: self.failed}
        if not any(counter.series == name for counter in counters.values()):
            return None
        return frozenset(
            tally for tally, counter in counters.items() if counter.series == name and counter.matches(series)
        )


def within(edge: float) -> str:
    """Tally of the requests that took no longer than a bucket edge."""
    return f"within {edge:g}"


@cache
def load(name: str) -> Template:
    """The template of that name; raises FileNotFoundError or pydantic's ValidationError."""
    text = files(__package__).joinpath("templates", f"{name}.yaml").read_text(encoding="utf-8")
    return Template.model_validate(yaml.safe_load(text))


def template_for(slo: Slo, server: ServerKind | None) -> Template:
    """The template that a built-in metric is read by: that of the server when there is one, else of the gateway."""
    from_server = server is not None and slo.source is not MetricSource.GATEWAY
    return load(server.value if server and from_server else "envoy-gateway")
