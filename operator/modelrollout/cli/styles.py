"""Colours of what is shown."""

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, Phase

PHASES = {
    Phase.IDLE: "green",
    Phase.PREPARING: "cyan",
    Phase.PROGRESSING: "cyan",
    Phase.REVERTING: "bold red",
    Phase.REVERTED: "bold red",
}
VERDICTS: dict[str, str] = {Verdict.PASS: "green", Verdict.BREACH: "bold red", Verdict.INCONCLUSIVE: "yellow"}
COLOURS = {Colour.BLUE: "blue", Colour.GREEN: "green"}
DIM, BAD, WARNING, HEADING = "dim", "bold red", "yellow", "bold"
