"""What is known of an SLO, in words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelrollout.api.evidence import Comparison, Counted

OURS, THEIRS = Counted(bad=55, total=4210), Counted(bad=878, total=79_800)


def said(**known: Any) -> str:
    return Comparison.model_validate({"candidate": OURS, "stable": THEIRS} | known).in_words


def test_all_that_is_known_is_one_sentence() -> None:
    at = datetime(2026, 1, 5, 14, 35, 20, tzinfo=UTC)
    known = {"ratio": 1.187, "ratio_low": 0.889, "ratio_high": 1.556, "evidence": 2.113}
    assert said(**known, samples_needed=9123, decision_at=at) == (
        "1.31% of 4,210 against stable's 1.10% of 79,800 (1.19 times, 95% 0.889 to 1.56); "
        "evidence of harm 2.11 of 100; about 9,100 more requests like these decide (about 2026-01-05 14:35Z)"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert said(stable=Counted()) == "1.31% of 4,210; evidence of harm 1 of 100"
    assert said(candidate=Counted()) == "no request against stable's 1.10% of 79,800; evidence of harm 1 of 100"
    assert said(samples_needed=1_234_567).endswith("; about 1,200,000 more requests like these decide")
    assert "(12.5 times, 95% 3.1 or more)" in said(ratio=12.5, ratio_low=3.1)


def test_of_a_query_there_are_points() -> None:
    assert said(points=40, ratio=1.5, ratio_low=1.43, ratio_high=1.56, evidence=0.5) == (
        "40 points (1.5 times, 95% 1.43 to 1.56); evidence of harm 0.5 of 100"
    )
    assert said(points=12, points_needed=8).endswith("; 8 more at least decide")


@pytest.mark.parametrize(
    ("evidence", "words"), [(1e9, "1,000,000,000"), (99.96, "100"), (1234.5, "1,234"), (1e-17, "under 0.01")]
)
def test_numbers_are_written_without_exponents(evidence: float, words: str) -> None:
    assert f"evidence of harm {words} of 100" in said(evidence=evidence)
