"""Tests that need every engine at once are not even collected where one is missing."""

from tests.plugins.engines import EXTERNAL, available

collect_ignore = [] if all(map(available, EXTERNAL)) else ["test_run_stack.py"]
