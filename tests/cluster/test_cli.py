"""The command line against a real API server; where it waits for the operator, the test plays that."""

import json
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.watch import Watch

import testbed
from support.moments import in_canary_10, promoted, taken_back
from support.rollouts import Object, Rollouts, changed, valid
from support.terminal_program import Program
from testbed import gobuild
from testbed.commands import run
from testbed.waiting import wait_until

KIND = "modelrollout.io", "v1alpha1"


@pytest.fixture
def rollouts(client: ApiClient, namespace: str) -> Rollouts:
    return Rollouts(client, namespace)


@pytest.fixture
def cli(bed: testbed.Bed, namespace: str) -> Program:
    return Program(bed.kubeconfig, namespace)


@pytest.fixture
def outsider(bed: testbed.Bed, namespace: str, tmp_path: Path) -> Program:
    """The same for somebody without any rights."""
    bed.kubectl("create", "serviceaccount", "outsider", "-n", namespace)
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": bed.kubectl("create", "token", "outsider", "-n", namespace).strip()}
    kubeconfig = tmp_path / "outsider"
    kubeconfig.write_text(yaml.safe_dump(config))
    return Program(kubeconfig, namespace)


@pytest.fixture
def scorer(rollouts: Rollouts) -> Object:
    """A rollout in its first stage."""
    rollouts.apply(valid())
    return rollouts.write_status("scorer", in_canary_10())


def actions(rollouts: Rollouts) -> list[Object]:
    listed: Any = CustomObjectsApi(rollouts.client).list_namespaced_custom_object(
        *KIND, rollouts.namespace, "rolloutactions"
    )
    items: list[Object] = listed["items"]
    return items


@contextmanager
def operator_that_answers(rollouts: Rollouts, outcome: str, message: str) -> Iterator[None]:
    """Gives every RolloutAction this outcome, until the end of the block."""
    objects, watch = CustomObjectsApi(rollouts.client), Watch()

    def answer() -> None:
        status = {"status": {"outcome": outcome, "message": message}}
        where = *KIND, rollouts.namespace, "rolloutactions"
        for event in watch.stream(objects.list_namespaced_custom_object, *where, timeout_seconds=60):
            name = event["object"]["metadata"]["name"]
            if event["type"] == "ADDED":
                merge = "application/merge-patch+json"
                objects.patch_namespaced_custom_object_status(*where, name, status, _content_type=merge)
                watch.stop()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


VERBS: list[tuple[list[str], Object]] = [
    (["approve", "scorer", "--role=security"], {"action": "Approve", "stage": "canary-10", "role": "security"}),
    (
        ["approve", "scorer", "--role=a", "--stage=canary-100"],
        {"action": "Approve", "stage": "canary-100", "role": "a"},
    ),
    (["sign-off", "scorer", "--item=read"], {"action": "SignOff", "stage": "canary-10", "item": "read"}),
    (["advance", "scorer"], {"action": "Advance", "stage": "canary-10"}),
    (["promote", "scorer", "--yes"], {"action": "Promote"}),
    (["pause", "scorer", "--reason=lunch"], {"action": "Pause", "reason": "lunch"}),
    (["resume", "scorer"], {"action": "Resume"}),
    (["retry", "scorer"], {"action": "Retry"}),
    (["abort", "scorer", "--mode=Gradual"], {"action": "Abort", "mode": "Gradual"}),
    (["revert", "scorer"], {"action": "Revert"}),
    (["revert", "scorer", "--to=1.9.0", "--mode=Immediate"], {"action": "Revert", "to": "1.9.0", "mode": "Immediate"}),
    (["kill", "scorer", "--reason=harm"], {"action": "Kill", "reason": "harm"}),
    (["lift", "scorer"], {"action": "Lift"}),
    (
        ["exclude", "scorer", "--header=x-ring=a=b"],
        {"action": "Exclude", "cohort": {"header": "x-ring", "value": "a=b"}},
    ),
    (["include", "scorer", "--header=x-ring=a"], {"action": "Include", "cohort": {"header": "x-ring", "value": "a"}}),
]


@pytest.mark.parametrize(("words", "fields"), VERBS, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_a_verb_writes_an_action_in_the_name_of_its_caller(
    words: list[str], fields: Object, cli: Program, rollouts: Rollouts, scorer: Object
) -> None:
    done = cli.run(*words, "--no-wait")
    assert done.exit_code == 0, done.stderr
    (action,) = actions(rollouts)
    assert action["spec"] == {"rollout": "scorer", "attempt": 2, "by": "admin", "reason": ""} | fields
    (owner,) = action["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ModelRollout", scorer["metadata"]["uid"])


def test_an_action_that_was_applied_is_a_success(cli: Program, rollouts: Rollouts, scorer: Object) -> None:
    with operator_that_answers(rollouts, "Applied", "paused in stage canary-10"):
        done = cli.run("pause", "scorer")
    assert (done.exit_code, done.stdout) == (0, "scorer: Pause applied: paused in stage canary-10\n")


def test_an_action_that_was_refused_is_a_failure_that_says_why(
    cli: Program, rollouts: Rollouts, scorer: Object
) -> None:
    with operator_that_answers(rollouts, "Refused", "attempt 2 is over"):
        done = cli.run("promote", "scorer", "--output=json")
    assert done.exit_code == 1
    assert "scorer: Promote refused: attempt 2 is over" in done.stderr
    assert json.loads(done.stdout)["status"]["outcome"] == "Refused"


def test_no_answer_in_time_has_an_exit_code_of_its_own(cli: Program, rollouts: Rollouts, scorer: Object) -> None:
    done = cli.run("pause", "scorer", "--timeout=1s")
    assert done.exit_code == 124
    assert f"RolloutAction {actions(rollouts)[0]['metadata']['name']} stands" in done.stderr


def test_undo_goes_back_after_a_promotion_and_not_before_it(cli: Program, rollouts: Rollouts, scorer: Object) -> None:
    early = cli.run("undo", "scorer", "--no-wait")
    assert early.exit_code == 2
    assert "version 2.1.0 is under way and was not promoted: use abort" in early.stderr
    rollouts.write_status("scorer", {"candidate": None, "stage": None} | promoted())
    done = cli.run("undo", "scorer", "--no-wait")
    assert done.exit_code == 0, done.stderr
    assert actions(rollouts)[0]["spec"]["action"] == "Revert"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kill", "scorer"], "kill needs --reason"),
        (["exclude", "scorer", "--header=x-ring"], "write KEY=VALUE"),
        (["approve", "scorer", "--role=No Role"], "role: String should match pattern"),
        (["wait", "scorer", "--for=lunch"], "choose from promoted, reverted, idle, ready and stage=NAME"),
        (["wait", "scorer", "--for=stage=canary-11"], "scorer has the stages canary-10, canary-100"),
        (["wait", "scorer", "--for=idle", "--timeout=5"], "is not a duration"),
    ],
)
def test_wrong_usage_is_told_from_failure(words: list[str], said: str, cli: Program, scorer: Object) -> None:
    done = cli.run(*words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_stage_is_asked_for_where_there_is_none_now(cli: Program, rollouts: Rollouts) -> None:
    rollouts.apply(valid())
    done = cli.run("advance", "scorer")
    assert done.exit_code == 2
    assert "scorer is in no stage now: name one with --stage" in done.stderr


@pytest.mark.parametrize("words", [["status", "nobody"], ["pause", "nobody"], ["wait", "nobody", "--for=idle"]])
def test_what_is_not_there_is_named(words: list[str], cli: Program, namespace: str) -> None:
    done = cli.run(*words)
    assert done.exit_code == 1
    assert f"there is no modelrollout nobody in namespace {namespace}" in done.stderr


@pytest.mark.parametrize(("words", "verb"), [(["get"], "list"), (["status", "scorer"], "get")])
def test_what_is_forbidden_is_named_by_verb_and_resource(words: list[str], verb: str, outsider: Program) -> None:
    done = outsider.run(*words)
    assert done.exit_code == 1
    assert f"you may not {verb} modelrollouts" in done.stderr
    assert f'User "system:serviceaccount:{outsider.namespace}:outsider" cannot' in done.stderr
    assert "Traceback" not in done.stderr


def test_who_may_look_but_not_act_is_told_so(
    bed: testbed.Bed, outsider: Program, rollouts: Rollouts, scorer: Object
) -> None:
    looks = ("--verb=get,list,watch", "--resource=modelrollouts.modelrollout.io", "-n", rollouts.namespace)
    bed.kubectl("create", "role", "looks", *looks)
    outsiders = f"--serviceaccount={rollouts.namespace}:outsider"
    bed.kubectl("create", "rolebinding", "looks", "--role=looks", outsiders, "-n", rollouts.namespace)
    assert outsider.run("get").exit_code == 0
    done = outsider.run("abort", "scorer")
    assert done.exit_code == 1
    assert "you may not create rolloutactions" in done.stderr


def test_the_words_of_a_policy_are_passed_on(
    bed: testbed.Bed, cli: Program, rollouts: Rollouts, scorer: Object
) -> None:
    name = rollouts.namespace
    here = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    kinds = {"apiGroups": ["modelrollout.io"], "apiVersions": ["*"], "resources": ["rolloutactions"]}
    validation = {"expression": "object.spec.action != 'Promote'", "message": "nobody may ask for Promote on Fridays"}
    policy = {
        "matchConstraints": {"resourceRules": [kinds | {"operations": ["CREATE"]}]},
        "validations": [validation | {"reason": "Forbidden"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        manifest = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        bed.apply(yaml.safe_dump(manifest | {"spec": spec}))

    def is_refused() -> bool:
        done = cli.run("promote", "scorer", "--no-wait")
        return (done.exit_code, done.stderr) == (1, "Error: nobody may ask for Promote on Fridays\n")

    wait_until(is_refused, what="the policy to be in force", timeout=60)


def test_without_an_api_server_it_says_so(tmp_path: Path, bed: testbed.Bed) -> None:
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(config))
    done = Program(elsewhere, "default").run("get")
    assert done.exit_code == 1
    assert "the API server does not answer" in done.stderr
    done = Program(tmp_path / "nothing", "default").run("get")
    assert "no cluster to talk to" in done.stderr


def test_get_lists_a_namespace_or_all(cli: Program, scorer: Object, namespace: str) -> None:
    head, row = cli.run("get").stdout.splitlines()
    assert head.split()[:3] == ["NAME", "VERSION", "PHASE"]
    assert row.split()[:6] == ["scorer", "2.1.0", "Progressing", "canary-10", "1/2", "9.5/10"]
    everywhere = cli.run("get", "-A").stdout
    assert any(line.split()[:2] == [namespace, "scorer"] for line in everywhere.splitlines())


def test_programs_get_what_the_api_server_has(cli: Program, rollouts: Rollouts, scorer: Object) -> None:
    stored = rollouts.read()
    assert json.loads(cli.run("get", "scorer", "-o", "json").stdout) == stored
    assert json.loads(cli.run("get", "-o", "json").stdout)["items"] == [stored]
    assert yaml.safe_load(cli.run("status", "scorer", "-o", "yaml").stdout)["status"] == stored["status"]


def test_an_empty_namespace_is_no_error(cli: Program, namespace: str) -> None:
    done = cli.run("get")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"no ModelRollouts in namespace {namespace}" in done.stderr


def test_status_shows_one_screen(cli: Program, scorer: Object) -> None:
    shown = cli.run("status", "scorer").stdout
    for words in (
        "Progressing, attempt 2",
        "candidate",
        "canary-10",
        "AboveLimit",
        "kubectl modelrollout abort scorer",
    ):
        assert words in shown


@pytest.mark.usefixtures("scorer")
@pytest.mark.parametrize(
    ("end", "code", "words"), [(promoted(), 0, "Idle"), (taken_back(), 1, "SLOBreached")], ids=["good", "bad"]
)
def test_status_can_be_watched_to_the_end(end: Object, code: int, words: str, cli: Program, rollouts: Rollouts) -> None:
    watching = cli.start("status", "scorer", "--watch")
    rollouts.write_status("scorer", {"candidate": None, "stage": None} | end)
    shown, errors = watching.communicate(timeout=60)
    assert watching.returncode == code, errors
    assert words in shown


@pytest.mark.usefixtures("scorer")
@pytest.mark.parametrize(
    ("goal", "end", "code"),
    [
        ("promoted", promoted(), 0),
        ("promoted", taken_back(), 1),
        ("reverted", taken_back(), 0),
        ("stage=canary-100", {"stage": in_canary_10()["stage"] | {"name": "canary-100", "index": 1}}, 0),
    ],
)
def test_wait_answers_by_its_exit_code(goal: str, end: Object, code: int, cli: Program, rollouts: Rollouts) -> None:
    waiting = cli.start("wait", "scorer", f"--for={goal}", "--timeout=1m")
    gone = {} if "stage" in end else {"candidate": None, "stage": None}
    rollouts.write_status("scorer", gone | end)
    _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == code, errors


def test_wait_gives_up_in_time_and_says_what_was_missing(cli: Program, scorer: Object) -> None:
    done = cli.run("wait", "scorer", "--for=promoted", "--timeout=1s")
    assert done.exit_code == 124
    assert "scorer is not promoted within 1 s: stage canary-10 holds until" in done.stderr


def test_wait_ends_with_what_it_waits_for(cli: Program, rollouts: Rollouts, scorer: Object) -> None:
    waiting = cli.start("wait", "scorer", "--for=promoted")
    CustomObjectsApi(rollouts.client).delete_namespaced_custom_object(
        *KIND, rollouts.namespace, "modelrollouts", "scorer"
    )
    _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "scorer was deleted" in errors or "there is no modelrollout scorer" in errors


@pytest.mark.usefixtures("scorer")
def test_wait_goes_on_when_the_api_server_comes_back(bed: testbed.Bed, cli: Program, rollouts: Rollouts) -> None:
    waiting = cli.start("wait", "scorer", "--for=promoted", "--timeout=2m")
    watched = f"/namespaces/{rollouts.namespace}/modelrollouts?fieldSelector="
    wait_until(lambda: watched in bed.audit_log.read_text(), what="a watch", timeout=60)
    bed.stop("kube-apiserver")
    bed.start("kube-apiserver")
    rollouts.write_status("scorer", {"candidate": None, "stage": None} | promoted())
    shown, errors = waiting.communicate(timeout=60)
    assert (waiting.returncode, shown) == (0, "scorer: promoted\n"), errors


REPORT: Object = {
    "apiVersion": "modelrollout.io/v1alpha1",
    "kind": "RolloutReport",
    "metadata": {"name": "scorer-2", "labels": {"modelrollout.io/name": "scorer"}},
    "spec": {"rollout": "scorer", "uid": "u", "attempt": 2, "version": "2.1.0", "fromVersion": "2.0.0"},
    "status": {
        "outcome": "Reverted",
        "reason": "SLOBreached",
        "message": "SLO errors breached 2 times in a row",
        "started": "2026-01-05T11:00:00Z",
        "ended": "2026-01-05T11:05:00Z",
        "duration": "5m",
        "timeline": [
            {"at": "2026-01-05T11:00:00Z", "reason": "AttemptStarted", "message": "Attempt 2", "moved": True},
            {
                "at": "2026-01-05T11:05:00Z",
                "reason": "Reverting",
                "message": "Taking version 2.1.0 back",
                "stage": "canary-10",
                "moved": True,
                "evidence": [
                    {"name": "errors", "verdict": "Breach", "reason": "AboveLimit", "value": 0.041, "limit": 0.01}
                    | {"samples": 900, "asked": "error-ratio", "window": "1m"}
                ],
            },
        ],
        "consents": [{"by": "ann", "at": "2026-01-05T11:01:00Z", "stage": "canary-10", "role": "security"}],
        "actions": [],
    },
}


@pytest.fixture
def reports(client: ApiClient, namespace: str, scorer: Object) -> None:
    objects = CustomObjectsApi(client)
    first = changed(REPORT, {"metadata.name": "scorer-1", "spec.attempt": 1, "status.outcome": "Promoted"})
    for one in (first, REPORT):
        objects.create_namespaced_custom_object(*KIND, namespace, "rolloutreports", one, field_validation="Strict")


@pytest.mark.usefixtures("reports")
def test_history_lists_the_attempts_newest_first(cli: Program) -> None:
    done = cli.run("history", "scorer")
    assert done.exit_code == 0, done.stderr
    _, newest, oldest = done.stdout.splitlines()
    assert newest.split()[:4] == ["2", "2.1.0", "2.0.0", "Reverted"]
    assert oldest.split()[:4] == ["1", "2.1.0", "2.0.0", "Promoted"]
    assert [one["spec"]["attempt"] for one in json.loads(cli.run("history", "scorer", "-ojson").stdout)["items"]] == [
        2,
        1,
    ]


@pytest.mark.usefixtures("reports")
def test_report_tells_the_newest_attempt_with_its_evidence_or_another_one(cli: Program) -> None:
    told = cli.run("report", "scorer").stdout
    for words in (
        "scorer, attempt 2: version 2.1.0 (before: 2.0.0), Reverted after 5m",
        "2026-01-05 11:05:00Z  Reverting  Taking version 2.1.0 back",
        "errors Breach: 0.041 (limit 0.01), 900 requests in 1m: error-ratio",
        "ann approved as security for canary-10",
    ):
        assert words in told, told
    assert "attempt 1: version 2.1.0" in cli.run("report", "scorer", "--attempt=1").stdout
    assert "there is no rolloutreport scorer-7" in cli.run("report", "scorer", "--attempt=7").stderr


def script(folder: Path, name: str, start: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def kubectl(bed: testbed.Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespace: str) -> Callable[..., str]:
    """kubectl with our programs in the path, in this namespace."""
    script(tmp_path, "kubectl-modelrollout", "from modelrollout.cli.main import main; main()")
    completer = "from modelrollout.cli.completion import complete_for_kubectl as complete; complete()"
    script(tmp_path, "kubectl_complete-modelrollout", completer)
    config: Any = yaml.safe_load(bed.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return lambda *args: run(gobuild.program("kubectl"), *args)


def test_kubectl_runs_it_as_a_plugin_in_the_namespace_of_the_context(
    kubectl: Callable[..., str], scorer: Object
) -> None:
    assert "scorer" in kubectl("modelrollout", "get")


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (["sta"], "status\tShow all that matters of one ModelRollout on one screen."),
        (["status", "sc"], "scorer"),
        (["advance", "scorer", "--stage", "canary-1"], "canary-10"),
        (["status", "--wat"], "--watch\tKeep showing it until its attempt is decided."),
        (["wait", "scorer", "--for", "st"], "stage="),
    ],
)
def test_kubectl_completes_commands_options_and_names(
    words: list[str], suggested: str, kubectl: Callable[..., str], scorer: Object
) -> None:
    answered = kubectl("__complete", "modelrollout", *words).splitlines()
    assert suggested in answered
    assert ":4" in answered


def test_files_are_left_to_the_shell(kubectl: Callable[..., str]) -> None:
    assert ":0" in kubectl("__complete", "modelrollout", "lint", "-f", "").splitlines()
