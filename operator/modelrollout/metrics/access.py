"""How a Prometheus is reached: where it is, who we are to it, and whom we take for it.

Secrets are files that are read again for every request, so that whoever rotates them restarts nothing. What is in them
stands in no message.
"""

import base64
import logging
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from requests.auth import AuthBase

from modelrollout.api.quantities import DNS_LABEL_PATTERN, parse_duration

_log = logging.getLogger(__name__)

DEFAULT = "default"
"""Name of the one that the operator's own options describe, and that is asked where none is named."""

LONGEST_TIMEOUT = timedelta(seconds=10)
"""Readings that are older than 15 s say nothing, so an answer that takes longer is of no use to anybody."""

_TOKEN = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization"}
_FILES = ("bearer_token_file", "password_file", "ca_file", "cert_file", "key_file")
_OF_TLS = ("ca_file", "cert_file", "key_file", "insecure_skip_verify")


class AccessError(Exception):
    """A Prometheus cannot be reached so; the text names the option and the fix, and no secret."""


def _url(text: str) -> str:
    """The text of an error must not hold the URL: somebody may have written a password into it."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("it is not a URL such as http://prometheus.monitoring:9090")
    if "@" in parts.netloc:
        raise ValueError("it must hold no user and no password: there are options for them, and the password is a file")
    return text


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"{name!r} is not the name of a header, or has no value that a header can have")
        if name.lower() in _SECRET_HEADERS:
            raise ValueError(f"{name} holds a secret: give a bearer token or a password, which are files")
    return headers


def _file(path: Path) -> Path:
    """What is no path may be the secret itself, so the text of the error does not hold it."""
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def _timeout(value: Any) -> timedelta:
    timeout = value if isinstance(value, timedelta) else parse_duration(str(value))
    if not timedelta() < timeout <= LONGEST_TIMEOUT:
        raise ValueError("it must be longer than 0s, and 10s at most")
    return timeout


_File = Annotated[Path, AfterValidator(_file)]


class Access(BaseModel):
    """How one Prometheus, or what answers its HTTP API, is reached. Written in camelCase in a file."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, loc_by_alias=False, frozen=True, extra="forbid"
    )

    name: str = Field(pattern=DNS_LABEL_PATTERN, max_length=63, default=DEFAULT)
    url: Annotated[str, AfterValidator(_url)]
    timeout: Annotated[timedelta, BeforeValidator(_timeout)] = timedelta(seconds=3)
    """For a whole answer."""
    headers: Annotated[Mapping[str, str], AfterValidator(_headers)] = {}
    """Sent with every question, such as the tenant of a Prometheus that serves many."""
    bearer_token_file: _File | None = None
    username: str | None = Field(min_length=1, default=None)
    password_file: _File | None = None
    ca_file: _File | None = None
    """Certificates of those who vouch for the server, in place of those that the system trusts."""
    cert_file: _File | None = None
    """Our certificate; where there is no key file it holds the key as well."""
    key_file: _File | None = None
    insecure_skip_verify: bool = False
    """Take whoever answers for the server."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        named = self.option
        needless = next((field for field in _OF_TLS if getattr(self, field)), None)
        if needless and urlsplit(self.url).scheme != "https":
            raise ValueError(f"{named(needless)} needs a URL with https://: change the URL, or leave it out")
        if (self.username is None) != (self.password_file is None):
            raise ValueError(f"{named('username')} and {named('password_file')} need each other: give both, or none")
        if self.bearer_token_file and self.password_file:
            raise ValueError(f"give {named('bearer_token_file')} or {named('password_file')}, not both")
        if self.key_file and not self.cert_file:
            raise ValueError(f"{named('key_file')} needs {named('cert_file')}: give the certificate of the key")
        if self.ca_file and self.insecure_skip_verify:
            raise ValueError(f"{named('insecure_skip_verify')} would make {named('ca_file')} useless: leave one out")
        return self

    def option(self, field: str) -> str:
        """What users call a field, where they write it."""
        return option_of(field) if self.name == DEFAULT else f"{to_camel(field)} of the Prometheus {self.name}"

    def apply_to(self, session: requests.Session) -> None:
        """Have a session reach the server like this and in no other way."""
        session.headers.update(self.headers)
        session.auth = _Auth(self)  # also where there is nothing to say: of itself, a session looks into ~/.netrc
        session.verify = str(self.ca_file) if self.ca_file else not self.insecure_skip_verify
        if self.insecure_skip_verify:
            _log.warning("%s: whoever answers is taken for Prometheus", self.option("insecure_skip_verify"))
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # once is enough
        if self.cert_file:
            session.cert = (str(self.cert_file), str(self.key_file)) if self.key_file else str(self.cert_file)

    def authorization(self) -> str | None:
        """The header Authorization as the files have it now.

        Raises:
            AccessError: a file is not there, or not usable.
        """
        for field in _FILES:
            path = getattr(self, field)
            if path and not path.is_file():
                raise AccessError(f"{self.option(field)}: the file is not there any more")
        if self.bearer_token_file:
            token = self._secret("bearer_token_file", self.bearer_token_file)
            if not _TOKEN.fullmatch(token):
                raise AccessError(f"{self.option('bearer_token_file')}: the file must hold one token and nothing else")
            return f"Bearer {token}"
        if self.username and self.password_file:
            password = self._secret("password_file", self.password_file)
            return f"Basic {base64.b64encode(f'{self.username}:{password}'.encode()).decode()}"
        return None

    def remedy(self, status: int) -> str:
        """What to change when the server answers with this HTTP status; empty where that is not for us to say."""
        if 300 <= status < 400:
            return f" and leads elsewhere; set {self.option('url')} to where Prometheus itself answers"
        if status not in (401, 403):
            return ""
        if self.bearer_token_file:
            return f"; see the token in {self.option('bearer_token_file')}"
        if self.username:
            return f"; see {self.option('username')} and {self.option('password_file')}"
        ways = ", ".join(map(self.option, ("bearer_token_file", "username", "cert_file")))
        return f"; it wants to know who asks: see {ways}"

    def _secret(self, field: str, path: Path) -> str:
        """What a file holds, without the line end that editors leave there."""
        try:
            secret = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise AccessError(f"{self.option(field)}: the file cannot be read: {why}") from None
        if not secret.strip():
            raise AccessError(f"{self.option(field)}: the file is empty")
        return secret


def described(fields: Mapping[str, Any]) -> Access:
    """The default Prometheus as options of the operator describe it, by the names of fields of `Access`.

    Raises:
        AccessError: they cannot be meant so.
    """
    try:
        return Access(**fields)
    except ValidationError as error:
        raise AccessError(_complaints(error, option_of)) from None


def named_in(path: Path) -> list[Access]:
    """Those that a file describes under `sources`, each with a name of its own.

    Raises:
        AccessError: the file cannot be read, or not be meant so.
    """
    try:
        entries = list(yaml.safe_load(path.read_text(encoding="utf-8"))["sources"])
    except (OSError, UnicodeError, yaml.YAMLError, LookupError, TypeError):
        raise AccessError("the file must be there, and hold a list of sources in YAML") from None
    found = [_entry(place, entry) for place, entry in enumerate(entries)]
    names = [DEFAULT, *(access.name for access in found)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise AccessError(f"{twice} is the name of another one: give every source a name of its own")
    return found


def _entry(place: int, entry: Any) -> Access:
    try:
        return Access.model_validate(entry)
    except ValidationError as error:
        name = entry.get("name") if isinstance(entry, dict) else None
        raise AccessError(f"sources.{place} ({name or 'without a name'}): {_complaints(error, to_camel)}") from None


def option_of(field: str) -> str:
    """The option of the operator for a field of the default Prometheus; one that may be repeated has no plural."""
    return f"--prometheus-{field.removesuffix('s').replace('_', '-')}"


def _complaints(error: ValidationError, named: Callable[[str], str]) -> str:
    """What pydantic finds wrong, without the values: one may be a secret in the wrong place."""
    found = [(one["loc"], one["msg"].removeprefix("Value error, ")) for one in error.errors(include_url=False)]
    return "; ".join(f"{named(str(field[0]))}: {text}" if field else text for field, text in found)


class _Auth(AuthBase):
    """Says who we are."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        authorization = self._access.authorization()
        if authorization:
            request.headers["Authorization"] = authorization
        return request
