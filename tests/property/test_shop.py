"""Random stories of several buyers on the real code and real SQLite files, against a simple model.

All channels, the balance with the sandbox's wallet, and refunds. `SHOP_STORIES=ci` tells 200 stories of up to
50 steps (the default with CI set: less than three minutes, at 0.8 s each), `dev` 50.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.property.debiting import Debiting

COMMON = settings(
    deadline=None,
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
PROFILES = {
    "ci": settings(COMMON, max_examples=200),
    "dev": settings(COMMON, max_examples=50),
    # The planted faults: always the same stories, and no time lost on telling them shortly.
    "mutants": settings(COMMON, max_examples=150, derandomize=True, database=None, phases=[Phase.generate]),
}


class Shop(Debiting):
    """All rules together."""


def profile() -> settings:
    """How many stories to tell."""
    in_ci = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
    return PROFILES[os.environ.get("SHOP_STORIES") or ("ci" if in_ci else "dev")]


TestShop = Shop.TestCase
TestShop.settings = profile()
TestShop = pytest.mark.slow(pytest.mark.timeout(900)(pytest.mark.engine("sqlite")(TestShop)))
