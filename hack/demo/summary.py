"""The end of the demo: what was proved, and who served how many requests."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.evidence import by_version

from .proofs import Evidence, prove
from .screen import failures_by_version


def show(console: Console, evidence: Evidence) -> bool:
    """Print it; whether everything was proved."""
    proofs = list(prove(evidence))
    table = Table("", "what was to be proved", "measured", title="\nWhat was proved", title_justify="left")
    for proof in proofs:
        table.add_row(Text("yes", "green") if proof.holds else Text("NO", "bold red"), proof.claim, proof.numbers)
    console.print(table)
    good, bad = by_version(evidence.answers), failures_by_version(evidence.model.status, evidence.answers)
    for version in sorted(good.keys() | bad.keys()):
        console.print(f"version {version}: {good[version]} requests served, {bad[version]} failed")
    return all(proof.holds for proof in proofs)
