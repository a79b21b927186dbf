"""What end-to-end tests look back on."""

from dataclasses import dataclass

from stack import Served
from traffic_client import Answer

ERRORS_AT_GATEWAY = {"name": "errors", "metric": "error-ratio", "source": "Gateway", "limit": "1%", "minSamples": 20}


@dataclass
class Story:
    """A rollout from its beginning to its end, and every request meanwhile."""

    model: Served
    answers: list[Answer]
