"""What all tests share."""

import os
from typing import Any

import pytest
from hypothesis import settings

from support.terminal import Shown

# A property holds or it does not; how long an example takes says something about the machine only.
# The gate tries the same examples each time; everybody else tries new ones.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shown(pytestconfig: pytest.Config) -> Shown:
    """What is printed in a `with shown():` reaches the terminal: with cold caches a cluster takes minutes to build."""
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")
    show: Shown = capture.global_and_fixture_disabled
    return show
