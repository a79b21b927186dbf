import json
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelrollout.controller import main as module
from modelrollout.controller.kinds import Key
from modelrollout.controller.logs import RolloutLog, configure
from modelrollout.controller.main import main
from modelrollout.controller.settings import AlertSettings, CannotStartError, Settings
from modelrollout.metrics.access import Access
from modelrollout.metrics.alerts import AlertLabels


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    started: list[Settings] = []

    async def run(settings: Settings) -> int:
        started.append(settings)
        return 3

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "configure", lambda **_: None)
    return started


def test_help_names_every_option_and_its_default() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for option in Settings.__dataclass_fields__:
        assert f"--{option.replace('namespaces', 'namespace').replace('_', '-')}" in text
    for field in Access.model_fields.keys() - {"name"}:
        assert f"--prometheus-{field.replace('headers', 'header').replace('_', '-')}" in text
    assert "[default: 500ms]" in text


def test_starts_with_its_defaults_and_ends_with_the_status_of_the_run(started: list[Settings]) -> None:
    assert CliRunner().invoke(main, []).exit_code == 3
    assert started == [
        Settings(
            prometheus=(),
            alerts=None,
            namespaces=(),
            lease=None,
            lease_duration=timedelta(seconds=15),
            copy_secrets=False,
            log_format="text",
            log_level="info",
            metrics_port=8080,
            poll_interval=timedelta(seconds=0.5),
            workers=32,
            resync=timedelta(minutes=10),
        )
    ]


def test_every_option_can_be_given_in_the_environment(started: list[Settings]) -> None:
    environment = {
        "MODELROLLOUT_PROMETHEUS_URL": "https://prometheus:9090",
        "MODELROLLOUT_PROMETHEUS_HEADER": "X-Scope-OrgID=ml X-Team=a=b",
        "MODELROLLOUT_PROMETHEUS_USERNAME": "operator",
        "MODELROLLOUT_PROMETHEUS_PASSWORD_FILE": __file__,
        "MODELROLLOUT_PROMETHEUS_CA_FILE": __file__,
        "MODELROLLOUT_PROMETHEUS_CERT_FILE": __file__,
        "MODELROLLOUT_PROMETHEUS_KEY_FILE": __file__,
        "MODELROLLOUT_PROMETHEUS_TIMEOUT": "5s",
        "MODELROLLOUT_ALERTS_PORT": "9093",
        "MODELROLLOUT_ALERTS_TOKEN_FILE": __file__,
        "MODELROLLOUT_ALERTS_CERT_FILE": __file__,
        "MODELROLLOUT_ALERTS_KEY_FILE": __file__,
        "MODELROLLOUT_ALERTS_NAMESPACE_LABEL": "exported_namespace",
        "MODELROLLOUT_ALERTS_ROLLOUT_LABEL": "model",
        "MODELROLLOUT_NAMESPACE": "ml risk",
        "MODELROLLOUT_LEASE": "operators/modelrollout",
        "MODELROLLOUT_LEASE_DURATION": "30s",
        "MODELROLLOUT_COPY_SECRETS": "true",
        "MODELROLLOUT_LOG_FORMAT": "json",
        "MODELROLLOUT_LOG_LEVEL": "debug",
        "MODELROLLOUT_METRICS_PORT": "9000",
        "MODELROLLOUT_POLL_INTERVAL": "2s",
        "MODELROLLOUT_WORKERS": "4",
        "MODELROLLOUT_RESYNC": "1h",
    }
    CliRunner().invoke(main, [], env=environment)
    assert started == [
        Settings(
            prometheus=(
                Access(
                    url="https://prometheus:9090",
                    headers={"X-Scope-OrgID": "ml", "X-Team": "a=b"},
                    username="operator",
                    password_file=Path(__file__),
                    ca_file=Path(__file__),
                    cert_file=Path(__file__),
                    key_file=Path(__file__),
                    timeout=timedelta(seconds=5),
                ),
            ),
            alerts=AlertSettings(
                port=9093,
                token_file=Path(__file__),
                cert_file=Path(__file__),
                key_file=Path(__file__),
                labels=AlertLabels(namespace="exported_namespace", rollout="model"),
            ),
            namespaces=("ml", "risk"),
            lease=Key("operators", "modelrollout"),
            lease_duration=timedelta(seconds=30),
            copy_secrets=True,
            log_format="json",
            log_level="debug",
            metrics_port=9000,
            poll_interval=timedelta(seconds=2),
            workers=4,
            resync=timedelta(hours=1),
        )
    ]


def test_further_ones_are_named_in_a_file(started: list[Settings], tmp_path: Path) -> None:
    eu = {"name": "eu", "url": "https://eu", "bearerTokenFile": __file__, "timeout": "5s", "headers": {"X-Team": "a"}}
    (tmp_path / "sources.yaml").write_text(json.dumps({"sources": [eu, {"name": "us", "url": "http://us"}]}))
    CliRunner().invoke(main, [f"--prometheus-sources={tmp_path}/sources.yaml", "--prometheus-url=http://p"])
    default, first, second = started[0].prometheus
    assert (default.name, default.url) == ("default", "http://p")
    assert (first.name, first.bearer_token_file, first.timeout) == ("eu", Path(__file__), timedelta(seconds=5))
    assert (second.name, second.url, first.headers) == ("us", "http://us", {"X-Team": "a"})


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("sources: [", "the file must be there, and hold a list of sources in YAML"),
        ("[]", "the file must be there, and hold a list of sources in YAML"),
        ("sources: [eu]", "sources.0 (without a name): Input should be a valid dictionary"),
        ("sources: [{name: eu}]", "sources.0 (eu): url: Field required"),
        ("sources: [{name: EU, url: http://p}]", "sources.0 (EU): name: String should match pattern"),
        ("sources: [{url: http://p}]", "default is the name of another one"),
        ("sources: [{name: eu, url: http://p}, {name: eu, url: http://q}]", "eu is the name of another one"),
        ("sources: [{name: eu, url: http://p, token: t0ken}]", "sources.0 (eu): token: Extra inputs are not permitted"),
        (
            "sources: [{name: eu, url: http://p, bearerTokenFile: t0ken}]",
            "(eu): bearerTokenFile: there is no such file",
        ),
        ("sources: [{name: eu, url: http://p, username: me}]", "username of the Prometheus eu and passwordFile of the"),
        ("sources: [{name: eu, url: http://p, timeout: 11s}]", "(eu): timeout: it must be longer than 0s, and 10s at"),
    ],
)
def test_what_is_wrong_in_that_file_is_named(tmp_path: Path, written: str, complaint: str) -> None:
    (tmp_path / "sources.yaml").write_text(written)
    result = CliRunner().invoke(main, [f"--prometheus-sources={tmp_path}/sources.yaml"])
    assert result.exit_code == 2
    assert "--prometheus-sources: " in result.output
    assert complaint in result.output
    assert "t0ken" not in result.output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--poll-interval=often"], "'often' is not a duration"),
        (["--resync=0s"], "must be 1ms at least"),
        (["--lease-duration=2s"], "must be 3s at least"),
        (["--lease=modelrollout"], "'modelrollout' is not a namespace and a name"),
        (["--lease=a/b/c"], "'a/b/c' is not a namespace and a name"),
        (["--alerts-port=9093"], "--alerts-port needs --alerts-token-file"),
        ([f"--alerts-token-file={__file__}"], "--alerts-port is missing"),
        (["--alerts-token-file=t0ken", "--alerts-port=9093"], "there is no such file"),
        (
            [f"--alerts-key-file={__file__}", "--alerts-port=9093", f"--alerts-token-file={__file__}"],
            "--alerts-key-file needs --alerts-cert-file",
        ),
        (["--workers=0"], "0 is not in the range"),
        (["--log-format=xml"], "'xml' is not one of"),
        (["--prometheus-url=prometheus:9090"], "it is not a URL such as http://"),
        (["--prometheus-header=X-Scope-OrgID", "--prometheus-url=http://p"], "such as X-Scope-OrgID=ml"),
        (["--prometheus-username=me"], "--prometheus-url is missing, which --prometheus-username needs"),
        (["--prometheus-insecure-skip-verify", "--prometheus-url=http://p"], "needs a URL with https://"),
    ],
)
def test_wrong_options_are_refused_with_their_name(options: list[str], complaint: str) -> None:
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 2
    assert complaint in result.output
    assert options[0].split("=")[0] in result.output


@pytest.mark.usefixtures("_restored_logging")
def test_without_a_cluster_it_says_what_to_set(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [], env={"KUBECONFIG": str(tmp_path / "absent"), "KUBERNETES_SERVICE_HOST": None})
    assert result.exit_code == 1
    assert "Error: no cluster to work in" in result.output
    assert "set KUBECONFIG" in result.output


def test_what_keeps_it_from_starting_is_said_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(settings: Settings) -> int:
        raise CannotStartError(f"cannot listen on port {settings.metrics_port}")

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "configure", lambda **_: None)
    result = CliRunner().invoke(main, ["--metrics-port=80"])
    assert (result.exit_code, result.output) == (1, "Error: cannot listen on port 80\n")


@pytest.fixture
def _restored_logging() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_restored_logging")
def test_json_lines_say_which_rollout_and_which_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format="json", level="info")
    RolloutLog(logging.getLogger("x"), Key("ml", "scorer"), 3).warning("reverting: %s", "breach")
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time")
    assert line == {
        "level": "WARNING",
        "logger": "x",
        "message": "reverting: breach",
        "namespace": "ml",
        "rollout": "scorer",
        "attempt": 3,
    }


@pytest.mark.usefixtures("_restored_logging")
def test_text_lines_say_so_too_and_others_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format="text", level="info")
    RolloutLog(logging.getLogger("x"), Key("ml", "scorer"), 3).info("promoted")
    RolloutLog(logging.getLogger("x"), Key("ml", "scorer")).info("looked at")
    logging.getLogger("x").info("ready")
    logging.getLogger("kopf.objects").info("Handler 'deployments' succeeded.")
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("INFO    [ml/scorer#3] promoted")
    assert second.endswith("INFO    [ml/scorer] looked at")
    assert third.endswith("INFO    ready")
