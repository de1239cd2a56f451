"""Which examples Hypothesis draws: the same in every run, however slow the machine is.

``pytest --hypothesis-profile=search`` draws others each time, and keeps those that fail.
"""

from hypothesis import HealthCheck, settings

_HOUSE = settings(
    settings.get_profile("default"), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

settings.register_profile("search", _HOUSE)
settings.register_profile("house", _HOUSE, derandomize=True)
settings.load_profile("house")
