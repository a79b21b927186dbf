"""What the pods of a rollout expose, as Prometheus has it: names of series, bucket edges, and so which server it is."""

from collections.abc import Collection
from dataclasses import dataclass

from modelrollout.api.spec import ServerKind
from modelrollout.metrics.meters import Histogram
from modelrollout.metrics.prometheus import Source, Trouble
from modelrollout.metrics.templates import NAME_LABEL, load

_STEP = "[5s:5s]"
"""A subquery of one step: its answer has the labels of series, which that of an instant query could not tell here."""

_LATELY = "[1m]"
"""How far back a series counts: a scrape that failed once takes away nothing that the pods expose."""

KNOWN_SERVERS = tuple(kind for kind in ServerKind if kind is not ServerKind.AUTO)
"""Those that have a template."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """Which server it is cannot be told."""

    message: str


async def names(source: Source, namespace: str, rollout: str) -> frozenset[str] | Trouble:
    """Names of the series of a rollout's pods."""
    return await _labels(source, "__name__", f'{{namespace="{namespace}",{NAME_LABEL}="{rollout}"}}')


async def edges(source: Source, histogram: Histogram, matchers: str) -> frozenset[float] | Trouble:
    """The bucket edges that the series of a histogram have."""
    found = await _labels(source, "le", f'{{__name__="{histogram.histogram}_bucket",{matchers}}}')
    return frozenset(float(edge) for edge in found - {"", "+Inf"}) if isinstance(found, frozenset) else found


def servers(exposed: Collection[str]) -> list[ServerKind]:
    """The model servers that show in the names of series."""
    return [kind for kind in KNOWN_SERVERS if not set(load(kind).signs).isdisjoint(exposed)]


def identify(exposed: Collection[str]) -> ServerKind | NotFound:
    """Which server it is that exposes series of these names."""
    found = servers(exposed)
    if len(found) == 1:
        return found[0]
    if found:
        return NotFound(f"the pods expose series of {' and '.join(found)}: name one of them as spec.server")
    signs = ", ".join(sign for kind in KNOWN_SERVERS for sign in load(kind).signs)
    return NotFound(
        f"server auto finds no server that it knows: the pods expose none of {signs}, of which some come with "
        "the first request; name the server as spec.server, or use source Gateway, or a query"
    )


async def find_server(source: Source, namespace: str, rollout: str) -> ServerKind | NotFound | Trouble:
    """Which server the pods of a rollout are."""
    exposed = await names(source, namespace, rollout)
    return identify(exposed) if isinstance(exposed, frozenset) else exposed


async def _labels(source: Source, label: str, selector: str) -> frozenset[str] | Trouble:
    answer = await source.matrix(f"group by ({label}) (last_over_time({selector}{_LATELY})){_STEP}")
    if isinstance(answer, Trouble):
        return answer
    return frozenset(series.labels.get(label, "") for series in answer.series)
