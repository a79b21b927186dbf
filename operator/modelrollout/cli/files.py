"""ModelRollouts in files, read and checked as far as can be done without a cluster."""

from typing import TextIO

import click
import yaml
from pydantic import ValidationError

from modelrollout.api.base import problems
from modelrollout.api.rollout import ModelRollout


def read_rollouts(file: TextIO) -> list[ModelRollout]:
    """The ModelRollouts among the YAML documents of a file; a ClickException says what is wrong with them."""
    try:
        documents = [one for one in yaml.safe_load_all(file) if isinstance(one, dict)]
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file.name} is no YAML: {error}") from error
    written = [one for one in documents if one.get("kind") == "ModelRollout"]
    if not written:
        raise click.ClickException(f"there is no ModelRollout in {file.name}")
    return [_parsed(one, file.name) for one in written]


def _parsed(written: dict[str, object], where: str) -> ModelRollout:
    try:
        return ModelRollout.model_validate(written)
    except ValidationError as error:
        wrong = "".join(f"\n  {one}" for one in problems(error))
        raise click.ClickException(f"a ModelRollout in {where} is not right:{wrong}") from error
