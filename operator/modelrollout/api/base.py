"""What every model of the API has in common."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

GROUP = "modelrollout.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Text = Annotated[str, Field(max_length=1024)]
"""What is said to people, or by them."""


class ApiModel(BaseModel):
    """Written in camelCase on the wire and immutable in the program.

    Unknown fields are ignored: the API server has pruned or refused them already, and an object that a newer version of
    the operator wrote must still be readable.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, JSON types, nothing that is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def problems(error: ValidationError) -> list[str]:
    """What does not fit a model, each with the field it is about."""
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """A CEL rule for `x-kubernetes-validations`; `field_path` makes the API server name that field in its error."""
    written = {"rule": expression, "message": message}
    return written | {"fieldPath": field_path} if field_path else written


def rules(*written: dict[str, str]) -> dict[str, Any]:
    """The CEL rules in the form that pydantic's `json_schema_extra` takes."""
    return {"x-kubernetes-validations": list(written)}


def matches(value: str, pattern: str) -> str:
    """CEL for "`value` matches `pattern`"; the pattern must hold no single quote."""
    return f"{value}.matches(r'{pattern}')"


def worded(pattern: str, message: str, *further: dict[str, str], max_length: int) -> Any:
    """A string with a pattern and a sentence that says what to write instead, in place of a bare regular expression.

    Tools that read the schema offline see the pattern; the API server also evaluates it as a CEL rule, because only
    those carry words. `further` rules hold for the string as well.
    """
    return Field(
        pattern=pattern,
        max_length=max_length,
        json_schema_extra=rules(rule(matches("self", pattern), message), *further),
    )


def listed_by(*keys: str) -> dict[str, Any]:
    """`json_schema_extra` of a list whose items are told apart, merged and owned by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
