"""What one request came to, as the sender writes it down and as those who judge a rollout read it."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request and what became of it; those without any answer are counted like all others."""

    sent_at: float
    """Seconds since the epoch."""
    seconds: float
    """From sending it to the end of the answer."""
    status: int
    """The HTTP status; 0 when there was no answer."""
    variant: str = ""
    """`stable` or `candidate`, as the gateway says; empty without one."""
    version: str = ""
    """The version that the model server names in a good answer."""
    error: str = ""
    """What a bad answer says, or why there was none; its beginning is enough."""

    @property
    def is_good(self) -> bool:
        """Whether the caller got a prediction."""
        return self.status == 200

    @property
    def ended_at(self) -> float:
        """When the answer was there, in seconds since the epoch."""
        return self.sent_at + self.seconds

    def to_line(self) -> str:
        """As JSON, on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> "Answer":
        """Read what `to_line` wrote."""
        return cls(**json.loads(line))
