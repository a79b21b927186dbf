"""ModelRollouts in files, read as kubectl reads them."""

import re
from typing import Any, NamedTuple, TextIO

import click
import yaml

_READ_OTHERWISE = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """Reads scalars as kubectl does: `16:00` and `2024-01-15` are strings, and `1e3` is a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _READ_OTHERWISE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^([-+]?([.][0-9]+|[0-9][0-9_]*([.][0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?[.]inf|[.]nan)$"),
    list("-+.0123456789"),
)


class Documents(NamedTuple):
    """What concerns us among the YAML documents of a file, as it is written."""

    rollouts: list[dict[str, Any]]
    deployments: list[dict[str, Any]]
    """A workloadRef may name one of them."""


def read_documents(file: TextIO) -> Documents:
    """The documents of a file; a ClickException says if there is no ModelRollout among them."""
    try:
        documents = [one for one in yaml.load_all(file, _Loader) if isinstance(one, dict)]
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file.name} is no YAML: {error}") from error
    written = [one for one in documents if one.get("kind") == "ModelRollout"]
    if not written:
        raise click.ClickException(f"there is no ModelRollout in {file.name}")
    deployments = [one for one in documents if (one.get("apiVersion"), one.get("kind")) == ("apps/v1", "Deployment")]
    return Documents(written, deployments)
