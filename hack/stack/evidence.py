"""What the answers to a load prove. Every request is counted; only the bounds speak of chance, and they say so."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from traffic_client import Answer

UNLIKELY = 1e-4
"""How often chance alone may pass a bound: once in ten thousand."""

ROUTING_TAKES = 1.0
"""Seconds within which every request follows a change of the HTTPRoute, or of the Service; far more than it needs."""

# How MLServer says that the model raised. It then drops the connection without a word, so that a gateway which has
# already sent the next request on it can only report that.
_RAISED = (500, "Internal Server Error")
_DROPPED = (503, "connection termination")


@dataclass(frozen=True)
class Window:
    """A stretch of time, in seconds since the epoch, in which the candidate was to get `weight` per cent."""

    start: float
    end: float
    weight: float

    def of(self, answers: Iterable[Answer]) -> list[Answer]:
        """The requests that were sent in it."""
        return [answer for answer in answers if self.start <= answer.sent_at < self.end]


@dataclass(frozen=True)
class Share:
    """How many of the requests went to the candidate, and the most that its weight and chance would give it."""

    candidate: int
    total: int
    most: int

    @property
    def per_cent(self) -> float:
        """What the candidate got."""
        return 100 * self.candidate / self.total if self.total else 0.0

    @property
    def bound_per_cent(self) -> float:
        """What it may have got."""
        return 100 * self.most / self.total if self.total else 0.0

    @property
    def is_within(self) -> bool:
        """Whether it got no more than that."""
        return self.candidate <= self.most


def failed(answers: Iterable[Answer]) -> list[Answer]:
    """Requests without a good answer, for whatever reason."""
    return [answer for answer in answers if not answer.is_good]


def is_models_own(answer: Answer) -> bool:
    """Whether a failed request failed because the model raised: nobody on the way is to blame."""
    dropped = answer.status == _DROPPED[0] and answer.error.endswith(_DROPPED[1])
    return dropped or (answer.status, answer.error) == _RAISED


def not_the_candidates_own(answers: Iterable[Answer]) -> list[Answer]:
    """Failed requests that have another reason than that the candidate's model raised."""
    return [answer for answer in failed(answers) if answer.variant != "candidate" or not is_models_own(answer)]


def share(window: Window, answers: Iterable[Answer]) -> Share:
    """What the candidate got in a window, as the gateway says who answered.

    A request that nobody answered counts in the total only, as it may not have reached anybody.
    """
    sent = window.of(answers)
    candidate = sum(answer.variant == "candidate" for answer in sent)
    return Share(candidate, len(sent), most_of(len(sent), window.weight / 100))


def most_of(requests: int, probability: float) -> int:
    """The least number that a binomial count exceeds less often than `UNLIKELY`."""
    if probability <= 0 or probability >= 1:
        return 0 if probability <= 0 else requests
    beyond = 0.0
    for count in range(requests, -1, -1):
        beyond += _binomial(count, requests, probability)
        if beyond >= UNLIKELY:
            return count
    return 0


def by_version(answers: Iterable[Answer]) -> Counter[str]:
    """Good answers by the version that gave them."""
    return Counter(answer.version for answer in answers if answer.is_good)


def describe(answers: Sequence[Answer], *, at_most: int = 5) -> str:
    """Answers for a message: how many of each kind, the most frequent first."""
    kinds = Counter((answer.status, answer.variant or answer.version or "?", answer.error) for answer in answers)
    told = [f"{count} x {status} from {who}: {error!r}" for (status, who, error), count in kinds.most_common(at_most)]
    return "; ".join(told) or "none"


def _binomial(count: int, requests: int, probability: float) -> float:
    ways = math.lgamma(requests + 1) - math.lgamma(count + 1) - math.lgamma(requests - count + 1)
    return math.exp(ways + count * math.log(probability) + (requests - count) * math.log1p(-probability))
