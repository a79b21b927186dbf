"""What is wrong with a candidate, in shares of its requests; stable has the usual share of both faults."""

from dataclasses import dataclass
from typing import Any

from stack.history import Object
from stack.served import digits, steps_held

USUAL = 0.01
"""Share of the requests to a healthy version that fail; as many are slow."""
WEIGHT = 5
HOLD_MINUTES = 3
"""Of a healthy candidate, before it gets everything; one with a fault stays at its first weight until it is found."""

_SLOS: list[Object] = [
    {"name": "errors", "metric": "error-ratio", "baseline": {"maxIncrease": "25%"}},
    {"name": "slow", "metric": "latency", "slowerThan": "250ms", "baseline": {"maxIncrease": "25%"}},
]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of candidate, and how many of the kind are tried."""

    name: str
    failing: float = USUAL
    slow: float = USUAL
    runs: int = 3
    direct: bool = False
    """Whether the operator scrapes the pods itself."""

    @property
    def is_healthy(self) -> bool:
        """Whether it is as stable is."""
        return (self.failing, self.slow) == (USUAL, USUAL)

    def spec(self, version: str) -> dict[str, Any]:
        """What the spec says that asks for such a candidate."""
        return {
            "model": {"name": "digits", "version": version},
            "template": _template(self),
            "slos": _SLOS,
            "warmUp": {"path": "/v2/health/ready", "method": "GET"},  # which nobody fails
            "directScrapes": {} if self.direct else None,
            "strategy": steps_held((WEIGHT, f"{HOLD_MINUTES}m" if self.is_healthy else "1h"), (100, "0s")),
        }


HEALTHY = Case(name="as stable is", runs=4)
CASES = (
    Case(name="every request fails, pods scraped directly", failing=1.0, runs=10, direct=True),
    Case(name="every request fails", failing=1.0, runs=5),
    Case(name="ten times the errors", failing=10 * USUAL),
    Case(name="five times the errors", failing=5 * USUAL),
    Case(name="ten times the slow answers", slow=10 * USUAL),
    HEALTHY,
)
"""The longest trials last."""


def _template(case: Case) -> Object:
    template: Object = digits("")["spec"]["template"]
    told = {"MODEL_FOLDER": "faulty", "FAILING": f"{case.failing:g}", "SLOW": f"{case.slow:g}"}
    (container,) = template["spec"]["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in told.items()]
    return template
