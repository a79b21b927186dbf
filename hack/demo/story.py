"""What the demo does, step by step."""

from kubernetes.config import new_client_from_config
from rich.console import Console

import stack
import testbed
from stack import Served
from stack.served import is_reverted, serves, steps
from testbed.progress import step

from .proofs import Evidence
from .screen import Screen
from .summary import show

BED, NAMESPACE = "demo", "demo"
FIRST, GOOD, BAD = "1.0.0", "1.1.0", "1.2.0-failing"
ERRORS = {"name": "errors", "metric": "error-ratio", "source": "Gateway", "limit": "1%", "minSamples": 20}
LATENCY = {"name": "latency", "metric": "latency", "slowerThan": "750ms", "limit": "5%", "minSamples": 20}
RATE = 100
_LONGEST = 240
"""Seconds for each rollout; no request is sent after twice that."""


def tell(console: Console) -> bool:
    """Bring everything up, roll two versions out under load, show what that proved; whether all of it holds."""
    bed = testbed.up("full", BED)
    stack.install(bed)
    with step("removing the model of the last run, if there was one"):
        bed.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    client = new_client_from_config(str(bed.kubeconfig))  # type: ignore[no-untyped-call]
    strategy = steps(10, 25, 50, 100, hold="6s")
    with Served(bed, client, NAMESPACE, leave=True, strategy=strategy, slos=[ERRORS, LATENCY]) as model:
        with step(f"version {FIRST} of the model, the first to serve"):
            model.wait_serving(FIRST, timeout=_LONGEST)
        return show(console, _roll_out_both(console, model))


def _roll_out_both(console: Console, model: Served) -> Evidence:
    """The good version, then the bad one, while requests come in."""
    seconds = 2 * _LONGEST
    with (
        model.load(rate=RATE, requests=RATE * seconds, seconds=seconds) as load,
        Screen(console, model, load) as screen,
    ):
        screen.say(f"{RATE} requests a second from now on. Version {GOOD}, a good one, is asked for")
        model.roll_out(GOOD)
        screen.follow(serves(GOOD), what=f"version {GOOD} serves", timeout=_LONGEST)
        screen.say(f"Version {GOOD} serves. Version {BAD} is asked for, which fails on some of the pictures")
        model.roll_out(BAD)
        screen.follow(is_reverted(BAD), what=f"version {BAD} taken back", timeout=_LONGEST)
        screen.say(f"Version {BAD} is taken back: {model.status['lastRevert']['message']}")
        return Evidence(model=model, good=GOOD, bad=BAD, slo=ERRORS, answers=load.stop())
