"""One pod that is asked for its metrics, by real HTTP, however it behaves."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from modelrollout.metrics.prometheus import Unavailable
from modelrollout.metrics.scrapes import AT_ONCE, Exposed, Pod, Scraper, Wanted
from support.pod_servers import TEXT, Answer, Listed, drips, hangs, pours, resets, says, serving

WANTED = Wanted(names=frozenset({"requests_total", "seconds_bucket"}), edges=frozenset({"0.25"}))
PAGE = """\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",path="/a b\\"c,{d}"} 12 1700000000000
requests_total{code="500"} 3e2
requests_totals 7
other_total 9
seconds_bucket{path="/x",le="0.25"} 4
seconds_bucket{path="/x",le="0.5"} 5
"""
SERIES: Exposed = [
    ({"__name__": "requests_total", "code": "200", "path": '/a b"c,{d}'}, 12.0),
    ({"__name__": "requests_total", "code": "500"}, 300.0),
    ({"__name__": "seconds_bucket", "path": "/x", "le": "0.25"}, 4.0),
]
OPEN_METRICS = """\
# TYPE requests counter
requests_total{code="200"} 12.0 1700000000.1 # {trace_id="a # {b}"} 1.0 1700000000.0
# EOF
"""


@pytest.fixture
async def scraper() -> AsyncIterator[Scraper]:
    scraper = Scraper(Listed())
    yield scraper
    await scraper.close()


def at(port: int) -> Pod:
    return Pod(name="fraud-green-1", ip="127.0.0.1", port=port, path="/metrics")


async def scrape(scraper: Scraper, answer: Answer, *, seconds: float = 5) -> Exposed | Unavailable:
    async with serving("fraud-green-1", answer) as pod:
        return await scraper.scrape(at(pod.port), WANTED, seconds=seconds)


async def test_only_the_series_that_are_wanted(scraper: Scraper) -> None:
    assert await scrape(scraper, says(PAGE)) == SERIES


async def test_open_metrics(scraper: Scraper) -> None:
    kind = "application/openmetrics-text; version=1.0.0"
    assert await scrape(scraper, says(OPEN_METRICS, kind=kind)) == [
        ({"__name__": "requests_total", "code": "200"}, 12.0)
    ]


@pytest.mark.parametrize("body", ["", "# HELP requests_total Requests.\n", "other_total 1\n"])
async def test_a_pod_that_has_none_of_them_yet(scraper: Scraper, body: str) -> None:
    assert await scrape(scraper, says(body)) == []


async def test_a_server_that_does_not_say_what_it_answers_is_read(scraper: Scraper) -> None:
    assert await scrape(scraper, says(PAGE, kind="")) == SERIES


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says("", status="404 Not Found"), "it answers 404 Not Found"),
        (says("", status="503 Service Unavailable"), "it answers 503 Service Unavailable"),
        (says("", status="302 Found", more="Location: http://127.0.0.1:1/metrics\r\n"), "it answers 302 Found"),
        (says("<html>requests_total 1</html>", kind="text/html"), "it answers text/html, which is no metrics"),
        (says("all is well\n"), "its answer is no metrics"),
        (says('requests_total{code="200} 1\n'), "its answer is no metrics"),
        (says('requests_total{code="200"} soon\nother_total 1\n'), "soon"),
        (resets, ""),
        (pours, "its answer is longer than 4 MiB"),
    ],
)
async def test_what_is_no_answer_says_so_and_names_the_pod(scraper: Scraper, answer: Answer, words: str) -> None:
    said = await scrape(scraper, answer)
    assert isinstance(said, Unavailable)
    assert said.message.startswith("pod fraud-green-1, http://127.0.0.1:")
    assert words in said.message


@pytest.mark.parametrize("answer", [hangs, drips])
async def test_nobody_waits_for_a_pod_that_takes_too_long(scraper: Scraper, answer: Answer) -> None:
    said = await scrape(scraper, answer, seconds=0.2)
    assert isinstance(said, Unavailable)
    assert "no answer within 0.2 s" in said.message


async def test_a_pod_that_refuses(scraper: Scraper) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        said = await scraper.scrape(at(free.getsockname()[1]), WANTED, seconds=5)
    assert isinstance(said, Unavailable)


async def test_what_is_asked_for(scraper: Scraper) -> None:
    async with serving("fraud-green-1", says(PAGE, kind=TEXT)) as pod:
        await scraper.scrape(at(pod.port), WANTED, seconds=5)
        assert pod.asked == ["GET /metrics HTTP/1.1"]


async def test_no_more_at_once_than_can_be_kept(scraper: Scraper) -> None:
    """Those that hang have a turn each, which ends with their time."""

    async def lingers(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await says(PAGE)(writer)

    async with serving("slow", lingers) as slow:
        answers = await asyncio.gather(*(scraper.scrape(at(slow.port), WANTED, seconds=30) for _ in range(2 * AT_ONCE)))
        assert answers == [SERIES] * 2 * AT_ONCE
        assert slow.most_at_once == AT_ONCE


async def test_every_scrape_is_told_of() -> None:
    told: list[str] = []
    scraper = Scraper(Listed(), on_answer=lambda result, _: told.append(result))
    assert await scrape(scraper, says(PAGE)) == SERIES
    await scrape(scraper, says("", status="404 Not Found"))
    assert told == ["Answer", "Unavailable"]
    await scraper.close()
