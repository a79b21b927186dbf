"""How the series of a model server or a proxy are read: one data file each in `templates/`."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Literal, TypeVar

import promql_parser
import yaml
from pydantic import AfterValidator, Field, model_validator

from modelrollout.api import labels
from modelrollout.api.slo import BuiltInMetric, MetricSource, Slo
from modelrollout.api.slo import Counter as UserCounter
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour
from modelrollout.metrics.meters import Counter, Data, Meter, Ratio, is_regex

T = TypeVar("T")

UP = "up"
_POSITIVE = (promql_parser.MatchOp.Equal, promql_parser.MatchOp.Re)
_REGEX = (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One attempt of one colour of a rollout."""

    namespace: str
    rollout: str
    colour: Colour
    attempt: int


ArmKey = tuple[str, ...]
"""The label values by which an arm's series are known."""


def sanitized(label: str) -> str:
    """A Kubernetes label name as Prometheus's service discovery writes it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


_VALUE = "<value>"
_BACKENDS = {colour: place for place, colour in enumerate(Colour)}
"""The places of the colours among the backends of a rule, which are constant."""

NAME_LABEL, COLOUR_LABEL, ATTEMPT_LABEL = (sanitized(name) for name in (labels.NAME, labels.COLOUR, labels.ATTEMPT))


class PodLabels(Data):
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


class Label(Data):
    """What one label of a backend's series says."""

    value: str = Field(description="With {namespace}, {rollout}, {colour}, {rule} and {backend} filled in.")
    within: Annotated[str, Field(pattern=_VALUE), AfterValidator(is_regex)] = _VALUE
    """What the label says as a whole, as a regular expression with `<value>` in the place of the value."""

    def of(self, arm: Arm, rule: int) -> str:
        """The value for an arm, in a rule of its route."""
        names = {"namespace": arm.namespace, "rollout": arm.rollout, "colour": arm.colour}
        return self.value.format(**names, rule=rule, backend=_BACKENDS[arm.colour])

    def read(self, text: str) -> str:
        """The value in what a label says; empty when there is none."""
        if self.within == _VALUE:
            return text
        found = self._around.fullmatch(text)
        return found[1] if found else ""

    def matcher(self, name: str, values: Iterable[str]) -> str:
        """A label matcher for any of these values.

        They are made of DNS names, slashes and digits: there is nothing to escape.
        """
        some = "|".join(sorted(set(values)))
        return f'{name}=~"{some if self.within == _VALUE else self.within.replace(_VALUE, f"({some})")}"'

    @cached_property
    def _around(self) -> re.Pattern[str]:
        return re.compile(self.within.replace(_VALUE, "(.*?)"))


class BackendLabels(Data):
    """Series of a proxy, known by labels that name a backend of the route."""

    by: Literal["labels"]
    labels: Mapping[str, Label] = Field(min_length=1)
    rules: tuple[int, ...] = Field(min_length=1, default=(0,))
    """Rules of the route that lead to both colours, where the labels tell them apart."""
    from_the_start: bool = Field(default=False, alias="fromTheStart")
    """Whether a backend that had no request yet has series."""

    def group(self, arm: Arm) -> tuple[str, ...]:  # noqa: ARG002
        """Arms of one group share a query."""
        return tuple(f"{name} {label.within}" for name, label in self.labels.items())

    @property
    def heartbeat(self) -> tuple[str, ...]:
        """Nothing: whether a proxy is up says nothing of one backend."""
        return ()

    @property
    def restarts_by(self) -> tuple[str, ...]:
        """Counters of a backend begin anew when the proxy forgets it, whatever becomes of the others."""
        return tuple(self.labels)

    def keys(self, arm: Arm) -> tuple[ArmKey, ...]:
        """What the arm's series say of themselves, rule by rule; they do not tell attempts apart."""
        keys = (tuple(label.of(arm, rule) for label in self.labels.values()) for rule in self.rules)
        return tuple(dict.fromkeys(keys))

    def key_in(self, series: Mapping[str, str]) -> ArmKey:
        """The arm that a series belongs to, by its labels."""
        return tuple(label.read(series.get(name, "")) for name, label in self.labels.items())

    def matcher(self, arms: Iterable[Arm]) -> str:
        """Label matchers that find the series of the arms of a group."""
        keys = [key for arm in arms for key in self.keys(arm)]
        of_each = zip(self.labels.items(), zip(*keys, strict=True), strict=True)
        return ",".join(label.matcher(name, values) for (name, label), values in of_each)

    def both(self, namespace: str, rollout: str) -> str:
        """Label matchers that find the series of both colours of a rollout."""
        return self.matcher(Arm(namespace=namespace, rollout=rollout, colour=colour, attempt=0) for colour in Colour)


class Template(Data):
    """How one model server or proxy counts its requests."""

    name: str
    attribution: Annotated[PodLabels | BackendLabels, Field(discriminator="by")]
    controllers: tuple[str, ...] = ()
    """Beginnings of the names of the controllers whose proxies count so; none for a model server."""
    signs: tuple[str, ...] = ()
    """Metrics that only this server has; the pods show at least one of them as soon as they have had a request."""
    metrics: Mapping[BuiltInMetric, tuple[Meter, ...]]
    """For each metric the ways to count it, the newest names first; the first one that has series counts."""
    instead: Mapping[BuiltInMetric, str] = {}
    """What to use for a metric that the server does not have, and why."""

    @model_validator(mode="after")
    def _refuses_nothing_that_it_has(self) -> "Template":
        if both := self.metrics.keys() & self.instead.keys():
            raise ValueError(f"there, and yet something else is to be used: {sorted(both)}")
        return self

    @property
    def meters(self) -> list[Meter]:
        """All that can be counted."""
        return [meter for some in self.metrics.values() for meter in some]

    @cached_property
    def heartbeats(self) -> frozenset[str]:
        """Series that are always asked for, since they show when a target was scraped."""
        requests = (meter.proof for meter in self.meters if isinstance(meter, Ratio))
        return frozenset(self.attribution.heartbeat).union(*requests)

    def meter(self, slo: Slo, seen: Collection[str]) -> Meter | None:
        """The way to count the metric of an SLO, by the tallies that there are series of; None when there is none."""
        meters = self._meters_of(slo)
        return next((meter for meter in meters if meter.everything in seen), meters[0] if meters else None)

    def wanted(self, slo: Slo) -> frozenset[str]:
        """Tallies that an SLO may be judged by."""
        return frozenset().union(*(meter.wanted(slo) for meter in self._meters_of(slo)))

    def series_names(self, wanted: Collection[str]) -> set[str]:
        """Names of the series to ask for."""
        return set(self.heartbeats).union(*(meter.series_names(wanted) for meter in self.meters))

    def edge_labels(self, wanted: Collection[str]) -> set[str]:
        """Values of `le` to ask for."""
        return set().union(*(meter.edge_labels(wanted) for meter in self.meters))

    def tallies(self, series: Mapping[str, str]) -> frozenset[str]:
        """Tallies that a series counts for."""
        return frozenset().union(*(meter.tallies(series) for meter in self.meters))

    def _meters_of(self, slo: Slo) -> tuple[Meter, ...]:
        return self.metrics.get(slo.metric or BuiltInMetric.ERROR_RATIO, ())


@cache
def load(name: str) -> Template:
    """The template of that name; raises FileNotFoundError or pydantic's ValidationError."""
    text = files(__package__).joinpath("templates", f"{name}.yaml").read_text(encoding="utf-8")
    return Template.model_validate(yaml.safe_load(text))


@cache
def of_counter(counter: UserCounter) -> Template:
    """Counters of the pods that a user names; raises ValueError when a selector does not parse."""
    some = counter.bad or counter.good or ""
    ratio = Ratio(requests=(_selected(counter.total),), failed=(_selected(some),))
    return Template(
        name=f"{some} of {counter.total}",
        attribution=PodLabels(by="podLabels"),
        metrics={BuiltInMetric.ERROR_RATIO: (ratio,)},
    )


def _selected(selector: str) -> Counter:
    parsed = promql_parser.parse(selector)
    if not isinstance(parsed, promql_parser.VectorSelector) or parsed.offset or parsed.at or not parsed.name:
        raise ValueError(f'{selector} is no selector such as alerts_total{{action="dismiss"}}')
    where: dict[str, str] = {}
    unless: dict[str, str] = {}
    for one in parsed.matchers.matchers:
        pattern = one.value if one.op in _REGEX else re.escape(one.value)
        (where if one.op in _POSITIVE else unless)[one.name] = pattern
    return Counter(series=parsed.name, where=where, unless=unless)


def is_of_server(slo: Slo, server: ServerKind | None) -> bool:
    """Whether a built-in metric is read from the server and not from the gateway."""
    return server is not None and slo.source is not MetricSource.GATEWAY


def template_for(slo: Slo, server: ServerKind | None, proxy: T) -> Template | T:
    """The template that counts are read by: that of the server when there is one, else what is known of the proxy.

    Counters of the user's own are those of the pods, and make a template of their own.
    """
    if slo.counter:
        return of_counter(slo.counter)
    return load(server.value) if server and is_of_server(slo, server) else proxy
