"""The end of the demo: what was proved, and who served how many requests."""

from rich.console import Console
from rich.text import Text

from stack.evidence import by_version

from .proofs import Evidence, prove
from .screen import failures_by_version


def show(console: Console, evidence: Evidence) -> bool:
    """Print it; whether everything was proved."""
    console.print("\nWhat was proved, from every request that was sent:", style="bold")
    proofs = list(prove(evidence))
    for proof in proofs:
        mark = Text("  yes ", "green") if proof.holds else Text("  NO  ", "bold red")
        console.print(mark + Text(f"{proof.claim}\n      {proof.numbers}"), soft_wrap=True)
    good, bad = by_version(evidence.answers), failures_by_version(evidence.model.status, evidence.answers)
    console.print("\nRequests by version:", style="bold")
    for version in sorted(good.keys() | bad.keys()):
        console.print(f"      {version:<14} {good[version]:>6} served {bad[version]:>6} failed")
    return all(proof.holds for proof in proofs)
