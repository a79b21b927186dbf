"""`python -m generate` writes all generated files; with `--check` it names those that are not up to date."""

import subprocess
import sys
from pathlib import Path

import click

from generate import argocd, commands, crd, lint_schema, offers, reference

_ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    """What each generated file shall hold, by its path from the root of the repository."""
    files = {
        offers.PATH: offers.written(),
        Path("docs/cli.md"): commands.written(),
        Path("docs/reference.md"): reference.written(),
        Path("operator/modelrollout/cli/modelrollout.schema.json"): lint_schema.written(),
        Path("integrations/argocd/argocd-cm.yaml"): argocd.written(),
    }
    for kind in crd.KINDS:
        text = crd.written(kind)
        files[Path("crds") / kind.file_name] = text
        files[Path("charts/modelrollout/files/crds") / kind.file_name] = text
    return files


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and name the files that are not up to date.")
def main(check: bool) -> None:
    """Write the CRDs, the references of API and command line, and the part of Argo CD's ConfigMap."""
    drifted = {path: text for path, text in generated().items() if _text_of(_ROOT / path) != text}
    if check and drifted:
        click.echo("not up to date: " + ", ".join(map(str, drifted)) + "; run `make generate`", err=True)
        sys.exit(1)
    for path, text in drifted.items():
        (_ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (_ROOT / path).write_text(text)
        click.echo(f"wrote {path}")
    if offers.PATH in drifted:  # the rest is made of the API, which had read it before
        subprocess.run([sys.executable, "-m", "generate"], check=True)


def _text_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
