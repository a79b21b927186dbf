"""The cluster as the command line sees it: a few calls, on JSON objects, with errors that say what to do."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any

import click
from kubernetes.client import (
    ApiClient,
    ApiException,
    AuthenticationV1Api,
    Configuration,
    CustomObjectsApi,
    V1SelfSubjectReview,
)
from kubernetes.config import ConfigException, list_kube_config_contexts, new_client_from_config
from kubernetes.watch import Watch
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from modelrollout.api.base import GROUP, VERSION, problems
from modelrollout.api.rollout import ModelRollout

ROLLOUTS, ACTIONS, REPORTS = "modelrollouts", "rolloutactions", "rolloutreports"

Object = dict[str, Any]

_CALL_SECONDS = (5, 30)
"""To connect, and to get an answer."""
_WATCH_SECONDS = 300
"""One watch; then another begins where it ended."""
_PAUSE_SECONDS = 1
"""Before a lost connection is tried again."""


class NotThereError(click.ClickException):
    """There is no such object."""


@dataclass(frozen=True)
class Access:
    """Which cluster and which namespace; what is None is as kubectl would have it."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


@dataclass(frozen=True)
class Cluster:
    """A cluster and the namespace to work in."""

    client: ApiClient
    namespace: str

    def rollout(self, name: str) -> ModelRollout:
        """The ModelRollout of that name."""
        return parsed(self.read(ROLLOUTS, name))

    def objects(self, plural: str, *, selector: str = "", everywhere: bool = False) -> list[Object]:
        """The objects of a kind of ours in the namespace, or in all."""
        where = () if everywhere else (self.namespace,)
        call = self._api.list_cluster_custom_object if everywhere else self._api.list_namespaced_custom_object
        with _explained(f"list {plural}"):
            listed = call(GROUP, VERSION, *where, plural, label_selector=selector, _request_timeout=_CALL_SECONDS)
        items: list[Object] = listed["items"]
        return items

    def read(self, plural: str, name: str) -> Object:
        """An object of ours; raises NotThereError if there is none."""
        with _explained(f"get {plural}", missing=f"there is no {plural[:-1]} {name} in namespace {self.namespace}"):
            found: Object = self._api.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, plural, name, _request_timeout=_CALL_SECONDS
            )
        return found

    def create(self, plural: str, manifest: Object) -> Object:
        """Write a new object; the answer has its name and uid."""
        with _explained(f"create {plural}"):
            created: Object = self._api.create_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                plural,
                manifest,
                field_validation="Strict",
                _request_timeout=_CALL_SECONDS,
            )
        return created

    def follow(self, plural: str, name: str, *, seconds: float | None = None) -> Iterator[Object | None]:
        """The object as it is, then at each change, and None once it is gone, which is the end.

        It ends after so many seconds, too. A connection that is lost is made again.
        """
        end = time.monotonic() + seconds if seconds is not None else None
        latest = self.read(plural, name)
        yield latest
        while (left := _WATCH_SECONDS if end is None else end - time.monotonic()) > 0:
            try:
                for event in self._changes(plural, latest, min(left, _WATCH_SECONDS)):
                    if event["type"] == "DELETED":
                        yield None
                        return
                    latest = event["object"]
                    yield latest
            except ApiException as error:
                if error.status == HTTPStatus.GONE:
                    latest = self.read(plural, name)
                    yield latest
                elif not _passes(error):
                    raise _told(error, f"watch {plural}") from error
                time.sleep(min(_PAUSE_SECONDS, left))
            except HTTPError:
                time.sleep(min(_PAUSE_SECONDS, left))

    def user(self) -> str:
        """The caller, as the API server knows them."""
        with _explained("create selfsubjectreviews"):
            reviews: Any = AuthenticationV1Api(self.client)
            review = reviews.create_self_subject_review(V1SelfSubjectReview(), _request_timeout=_CALL_SECONDS)
        name: str = review.status.user_info.username
        return name

    @property
    def _api(self) -> Any:
        return CustomObjectsApi(self.client)

    def _changes(self, plural: str, since: Object, seconds: float) -> Iterator[Object]:
        """What happens to an object; a line that a broken connection cut off is left out."""
        metadata = since["metadata"]
        stream: Iterator[Object | None] = Watch().stream(  # type: ignore[no-untyped-call]
            self._api.list_namespaced_custom_object,
            GROUP,
            VERSION,
            self.namespace,
            plural,
            field_selector=f"metadata.name={metadata['name']}",
            resource_version=metadata["resourceVersion"],
            timeout_seconds=max(int(seconds), 1),
            _request_timeout=(_CALL_SECONDS[0], max(int(seconds), 1) + _CALL_SECONDS[1]),
        )
        return (event for event in stream if event)


def connect(access: Access) -> Cluster:
    """The cluster of kubectl's configuration; a ClickException says what is missing there."""
    try:
        contexts, current = list_kube_config_contexts(access.kubeconfig)  # type: ignore[no-untyped-call]
        chosen = next((one for one in contexts if one["name"] == access.context), None) if access.context else current
        configuration = Configuration()
        configuration.retries = False
        client = new_client_from_config(  # type: ignore[no-untyped-call]
            access.kubeconfig, access.context, client_configuration=configuration
        )
    except (ConfigException, OSError) as error:
        raise click.ClickException(f"no cluster to talk to: {error}") from error
    of_context: str | None = (chosen or {}).get("context", {}).get("namespace")
    return Cluster(client, access.namespace or of_context or "default")


def on_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which cluster it is about, and that cluster as its first argument."""

    @click.option("-n", "--namespace", help="Namespace; that of the context by default.", metavar="NAME")
    @click.option("--context", help="Context of the kubeconfig; the current one by default.", metavar="NAME")
    @click.option("--kubeconfig", help="File with clusters and users, as for kubectl.", type=click.Path())
    @wraps(command)
    def connected(*, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> None:
        command(connect(Access(namespace, context, kubeconfig)), **options)

    return connected


def parsed(found: Object) -> ModelRollout:
    """A ModelRollout of the cluster as a model."""
    try:
        return ModelRollout.model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(problems(error))
        message = f"ModelRollout {found['metadata']['name']} does not fit this version of kubectl-modelrollout: {wrong}"
        raise click.ClickException(message) from error


@contextmanager
def _explained(doing: str, *, missing: str = "") -> Iterator[None]:
    """Turn what the client raises into what people can act on."""
    try:
        yield
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND and missing and _of(error).get("details", {}).get("name"):
            raise NotThereError(missing) from error
        raise _told(error, doing) from error
    except HTTPError as error:
        raise click.ClickException(f"cannot {doing}: the API server does not answer: {error}") from error


def _passes(error: ApiException) -> bool:
    """Whether the same call may be answered otherwise in a moment."""
    status = int(error.status or 0)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


_BY_POLICY = "denied request: "
"""Behind it stands what a ValidatingAdmissionPolicy has to say."""


def _told(error: ApiException, doing: str) -> click.ClickException:
    message: str = _of(error).get("message") or error.reason or f"HTTP {error.status}"
    if _BY_POLICY in message:
        return click.ClickException(message.partition(_BY_POLICY)[2])
    match error.status:
        case HTTPStatus.UNAUTHORIZED:
            return click.ClickException(f"cannot {doing}: the API server does not know you; log in again")
        case HTTPStatus.FORBIDDEN:
            return click.ClickException(f"you may not {doing}: {message}")
        case HTTPStatus.NOT_FOUND:
            return click.ClickException(f"cannot {doing}: the cluster has no such kind; is the operator installed?")
        case _:
            return click.ClickException(f"cannot {doing}: {message}")


def _of(error: ApiException) -> Object:
    """The Status object that an answer carries, if it does."""
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
