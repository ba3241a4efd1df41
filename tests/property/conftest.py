"""Lets pytest explain what differs in the modules beside the test."""

import pytest

for module in ("buying", "debiting", "paying", "reading", "refunding", "running", "stage"):
    pytest.register_assert_rewrite(f"tests.property.{module}")
