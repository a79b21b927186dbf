"""What all tests share."""

from hypothesis import settings

# A property holds or it does not; how long an example takes says something about the machine only.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
