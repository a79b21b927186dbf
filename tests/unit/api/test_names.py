"""Names that are made from a rollout's name."""

import re

from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.labels import NAME, colour_name, serving_selector
from modelrollout.api.rollout import LONGEST_NAME, NAME_PATTERN
from modelrollout.api.status import Colour

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
NAMES = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= LONGEST_NAME)


@given(NAMES, st.sampled_from(Colour))
def test_the_services_of_every_name_let_in_have_valid_names(name: str, colour: Colour) -> None:
    for service in (name, colour_name(name, colour)):
        assert SERVICE_NAME.fullmatch(service)
        assert len(service) <= 63


def test_the_longest_name_leaves_room_for_the_longest_colour() -> None:
    assert max(len(colour_name("n" * LONGEST_NAME, colour)) for colour in Colour) == 63


@given(NAMES)
def test_colours_never_share_a_name(name: str) -> None:
    assert len({name, *(colour_name(name, colour) for colour in Colour)}) == 3


def test_selects_one_colour_or_both() -> None:
    both = serving_selector("scorer", None)
    assert both == {NAME: "scorer"}
    assert both.items() < serving_selector("scorer", Colour.BLUE).items()
    assert Colour.BLUE.other is Colour.GREEN
    assert Colour.GREEN.other is Colour.BLUE
