"""What end-to-end tests look back on."""

from dataclasses import dataclass

from stack import Served
from traffic_client import Answer


@dataclass
class Story:
    """A rollout from its beginning to its end, and every request meanwhile."""

    model: Served
    answers: list[Answer]
