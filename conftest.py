"""Plugins of the whole test run; fixtures stand in tests/conftest.py."""

pytest_plugins = [
    "tests.plugins.engines",
    "tests.plugins.complete",
    "tests.plugins.statements",
    "tests.plugins.long",
    "tests.plugins.timing",
    "pytester",
]
