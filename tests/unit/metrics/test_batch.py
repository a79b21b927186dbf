"""Questions to Prometheus that cover many rollouts, and answers sorted into the ledgers they belong to."""

import promql_parser
import pytest

from modelrollout.api.status import Colour
from modelrollout.metrics.batch import BASE, Feed, Question, absorb, questions
from modelrollout.metrics.prometheus import Matrix, QueryError, RawSeries, Unavailable
from modelrollout.metrics.templates import Arm, load
from unit.metrics.meters import durations, ratio

NOW = 1_000_000.0


def feed(
    rollout: str = "fraud",
    *,
    template: str = "mlserver",
    namespace: str = "ml",
    colour: Colour = Colour.GREEN,
    attempt: int = 3,
    wanted: frozenset[str] | None = None,
    since: float = NOW,
    window: float = 120,
) -> Feed:
    arm = Arm(namespace=namespace, rollout=rollout, colour=colour, attempt=attempt)
    tallies = failures_of(template) if wanted is None else wanted
    return Feed(template=load(template), arm=arm, wanted=tallies, since=since, window=window)


def failures_of(template: str) -> frozenset[str]:
    """What an error ratio is counted by."""
    return frozenset({ratio(template).everything, ratio(template).bad})


def slower_than(edge: float, template: str = "mlserver") -> frozenset[str]:
    """What a latency is counted by."""
    return frozenset({durations(template).everything, durations(template).within(edge)})


def pod_series(code: int, *samples: tuple[float, float], **labels: str) -> RawSeries:
    """MLServer's request counter of a pod of the third attempt."""
    return RawSeries(
        {
            "__name__": "rest_server_requests_total",
            "instance": "10.0.0.1:8082",
            "job": "ml/fraud",
            "method": "POST",
            "modelrollout_io_attempt": "3",
            "modelrollout_io_colour": "green",
            "modelrollout_io_name": "fraud",
            "namespace": "ml",
            "path": "/v2/models/{model_name}/infer",
            "status_code": str(code),
            **labels,
        },
        [(NOW + time, str(value)) for time, value in samples],
    )


def envoy_series(rule: int, *samples: tuple[float, float], backend: int = 1) -> RawSeries:
    """Envoy's request counter of one backend of a rule."""
    cluster = f"httproute/ml/fraud/rule/{rule}/backend/{backend}"
    labels = {"__name__": "envoy_cluster_upstream_rq_completed", "instance": "10.0.0.9:19001", "job": "envoy"}
    return RawSeries(labels | {"envoy_cluster_name": cluster}, [(NOW + time, str(value)) for time, value in samples])


def counted(one: Feed) -> tuple[float, float]:
    every = {"after": float("-inf"), "since": float("-inf")}
    meter = ratio(one.template.name)
    return one.ledger.total(meter.bad, **every), one.ledger.total(meter.everything, **every)


def test_a_fleet_takes_three_questions() -> None:
    """Pods of either colour, and the clusters of the gateway."""
    fleet = [
        feed(f"rollout-{number}", template=template, colour=colour)
        for number in range(200)
        for colour in Colour
        for template in ("mlserver", "envoy-gateway")
    ]
    assert len(questions(fleet, now=NOW)) == 3


def test_each_kind_of_proxy_takes_a_question() -> None:
    kinds = ("envoy-gateway", "istio", "linkerd", "traefik")
    fleet = [feed(f"rollout-{n}", template=kind, colour=c) for n in range(50) for c in Colour for kind in kinds]
    assert len(questions(fleet, now=NOW)) == len(kinds)


def test_nothing_watched_is_nothing_asked() -> None:
    assert questions([], now=NOW) == []


@pytest.mark.parametrize("template", ["mlserver", "envoy-gateway"])
def test_questions_are_range_selectors_that_parse(template: str) -> None:
    edge = durations(template).edges[5]
    one = feed(template=template, wanted=failures_of(template) | slower_than(edge, template))
    (question,) = questions([one, feed("ranker", template=template)], now=NOW)
    assert isinstance(promql_parser.parse(question.promql), promql_parser.MatrixSelector)


def test_a_question_asks_for_what_is_wanted_and_no_more() -> None:
    (question,) = questions([feed("fraud"), feed("ranker", namespace="search")], now=NOW)
    assert question.promql == (
        '{__name__=~"rest_server_requests_total|up",modelrollout_io_name=~"fraud|ranker",'
        'modelrollout_io_colour="green"}[60s]'
    )


def test_bucket_edges_of_all_feeds_are_asked_for_beside_series_without_edges() -> None:
    feeds = [feed(f"r{edge:g}", wanted=slower_than(edge)) for edge in (0.25, 1)]
    (question,) = questions(feeds, now=NOW)
    assert r'le=~"|0\\.25|1|1\\.0"' in question.promql


@pytest.mark.parametrize(
    ("began", "window", "reach"),
    [(0, 120, BASE), (30, 120, 30 + BASE), (3600, 120, 120 + BASE), (-600, 120, BASE)],
    ids=["a new stage", "a young stage", "an operator that was restarted in an old stage", "a clock that was set back"],
)
def test_the_first_question_goes_back_as_far_as_its_window(began: float, window: float, reach: float) -> None:
    assert feed(since=NOW - began, window=window).reach(NOW) == reach


def test_later_questions_fetch_what_is_new_and_sometimes_what_was_late() -> None:
    one = feed(since=NOW - 600)
    absorb(*answered(one), now=NOW + 0.5)
    assert one.reach(NOW + 1.0) == pytest.approx(3.5)
    assert one.reach(NOW + 5.0) == pytest.approx(19.5)
    assert one.reach(NOW + 60.0) == pytest.approx(74.5)
    assert one.reach(NOW + 9999.0) == pytest.approx(135)
    assert one.reach(NOW - 9999.0) > 0


def test_all_feeds_sweep_at_the_same_times() -> None:
    """They share a question, which is as long as the longest of them needs."""
    early, late = feed("a", since=NOW - 600), feed("b", since=NOW - 600)
    absorb(*answered(early), now=NOW + 0.5)
    absorb(*answered(late), now=NOW + 3.5)
    assert [one.reach(NOW + 4.5) for one in (early, late)] == [7.0, 4.0]
    assert [one.reach(NOW + 5.5) for one in (early, late)] == [20.0, 17.0]


def answered(one: Feed, *series: RawSeries) -> tuple[Question, Matrix]:
    (question,) = questions([one], now=NOW)
    return question, Matrix(list(series))


def test_series_go_to_the_arm_that_their_labels_name() -> None:
    mine = feed()
    others = [feed("ranker"), feed(namespace="search"), feed(attempt=4)]
    (question,) = questions([mine, *others], now=NOW)
    absorb(question, Matrix([pod_series(500, (0, 1), (15, 3)), pod_series(200, (0, 7), (15, 27))]), now=NOW + 16)
    assert counted(mine) == (2, 22)
    assert [counted(other) for other in others] == [(0, 0)] * 3


def test_requests_of_cohorts_count_as_those_by_weight_do_and_those_sent_to_stable_by_header_do_not() -> None:
    one = feed(template="envoy-gateway")
    by_weight, cohort = envoy_series(0, (0, 5), (15, 7)), envoy_series(2, (0, 0), (15, 40))
    to_stable = envoy_series(1, (0, 0), (15, 900), backend=0)
    absorb(*answered(one, by_weight, cohort, to_stable), now=NOW + 16)
    assert counted(one) == (0, 42)


def test_a_cohort_whose_counters_begin_anew_makes_no_old_request_count_again() -> None:
    """The proxy forgets a rule that is gone, and what it counted, but not the rule beside it."""
    one = feed(template="envoy-gateway")
    by_weight, cohort = envoy_series(0, (0, 70_000), (15, 70_002)), envoy_series(2, (0, 40), (15, 3))
    absorb(*answered(one, by_weight, cohort), now=NOW + 16)
    assert counted(one) == (0, 5)


def test_answers_that_overlap_count_once() -> None:
    one = feed()
    for end in range(1, 5):
        history = [(15.0 * step, 10.0 * step) for step in range(end)]
        absorb(*answered(one, pod_series(200, *history)), now=NOW + 15 * end)
    assert counted(one) == (0, 30)


def test_up_shows_that_errors_are_new() -> None:
    up = RawSeries(
        {
            label: value
            for label, value in pod_series(200).labels.items()
            if label not in {"method", "path", "status_code"}
        }
        | {"__name__": "up"},
        [(NOW, "1"), (NOW + 15, "1")],
    )
    one = feed()
    absorb(*answered(one, up, pod_series(500, (15, 3))), now=NOW + 16)
    assert counted(one) == (3, 3)


def test_a_target_is_named_as_people_find_it() -> None:
    down = RawSeries({**pod_series(200).labels, "__name__": "up", "pod": "fraud-green-1"}, [(NOW, "0")])
    one = feed()
    absorb(*answered(one, down), now=NOW + 1)
    assert one.ledger.coverage(NOW + 1).down == ("ml/fraud-green-1 (instance=10.0.0.1:8082 job=ml/fraud)",)


def test_a_histogram_without_edges_counts_for_nothing() -> None:
    """The question does not leave such series out: it asks for counters too, which have no `le`."""
    labels = {**pod_series(200).labels, "__name__": "rest_server_request_duration_seconds_bucket"}
    one = feed(wanted=failures_of("mlserver") | slower_than(0.25))
    absorb(*answered(one, RawSeries(labels, [(NOW, "1"), (NOW + 15, "9")]), pod_series(200, (0, 0), (15, 4))), now=NOW)
    assert (one.trouble, counted(one)) == (None, (0, 4))


def test_what_cannot_be_read_is_the_trouble_of_its_feed_alone() -> None:
    ours, other = feed(), feed("ranker")
    (question,) = questions([ours, other], now=NOW)
    broken = RawSeries(pod_series(200).labels, [(NOW, "many")])
    intact = pod_series(200, (0, 0), (15, 4), modelrollout_io_name="ranker")
    absorb(question, Matrix([broken, intact]), now=NOW + 15)
    assert isinstance(ours.trouble, QueryError)
    assert (other.trouble, counted(other)) == (None, (0, 4))


def test_no_answer_is_the_trouble_of_all_feeds_of_the_question_until_there_is_one() -> None:
    ours, other = feed(), feed(colour=Colour.BLUE)
    (question,) = questions([ours], now=NOW)
    absorb(question, Unavailable("down"), now=NOW)
    assert (ours.trouble, other.trouble) == (Unavailable("down"), None)
    absorb(question, Matrix([]), now=NOW)
    assert ours.trouble is None
