"""What all tests share."""

import os

from hypothesis import settings

# A property holds or it does not; how long an example takes says something about the machine only.
# The gate tries the same examples each time; everybody else tries new ones.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")
