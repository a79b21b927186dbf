"""The usual ways to count of a template."""

from modelrollout.api.slo import BuiltInMetric
from modelrollout.metrics.meters import Histogram, Ratio
from modelrollout.metrics.templates import load


def ratio(template: str) -> Ratio:
    """How it counts failures."""
    meter = load(template).metrics[BuiltInMetric.ERROR_RATIO][0]
    assert isinstance(meter, Ratio)
    return meter


def durations(template: str, metric: BuiltInMetric = BuiltInMetric.LATENCY) -> Histogram:
    """How it counts what is slow."""
    meter = load(template).metrics[metric][0]
    assert isinstance(meter, Histogram)
    return meter
