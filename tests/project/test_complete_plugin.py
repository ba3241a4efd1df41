"""`make test-all` fails for a test that is missing, skipped or not listed, and for an engine nobody asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines import counters
from tests.plugins import complete

URL = "redis://127.0.0.1:1/0"
CONFTEST = """
import os

def pytest_generate_tests(metafunc):
    if "url" in metafunc.fixturenames:
        metafunc.parametrize("url", ["memory://", *os.environ.get("SHOP_TEST_ENGINES", "").split()])
"""
SUITE = """
def test_one(url): pass
def test_two(url): pass
def test_embedded(): pass
"""
LISTED = "test_suite.py::test_one[redis]\ntest_suite.py::test_two[redis]\n"


@pytest.fixture(autouse=True)
def lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Lists of a Redis alone, which takes 10 commands between two looks."""
    asked = iter(range(0, 1000, 10))
    monkeypatch.setattr(complete, "LISTS", tmp_path)
    monkeypatch.setattr(complete, "_stack", lambda: {URL: "redis"})
    monkeypatch.setattr(counters, "count", lambda url: next(asked))
    monkeypatch.setenv("SHOP_TEST_ENGINES", URL)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # importing them all takes seconds
    (tmp_path / "redis.txt").write_text(LISTED)
    (tmp_path / "commands.yaml").write_text("redis: 10\n")
    return tmp_path


def run(pytester: pytest.Pytester, suite: str = SUITE, *options: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_suite=suite)
    quiet = ("-p", "no:asyncio", "-p", "no:cacheprovider", "--import-mode=importlib")
    plugins = ("-p", "tests.plugins.engines", "-p", "tests.plugins.complete")
    return pytester.runpytest_inprocess(*plugins, *quiet, *(options or ("--complete",)))


def test_a_whole_run_passes_and_says_what_arrived(pytester: pytest.Pytester) -> None:
    result = run(pytester)
    assert result.ret == 0
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["redis: 2 tests passed, 10 commands arrived"])


def test_only_the_engines_tests_run_if_asked(pytester: pytest.Pytester) -> None:
    result = run(pytester, SUITE, "--complete", "--only-engines")
    assert result.ret == 0
    result.assert_outcomes(passed=2, deselected=3)


def test_a_listed_test_that_is_not_there_fails(pytester: pytest.Pytester) -> None:
    result = run(pytester, SUITE.replace("test_two", "test_three"))
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*redis: missing from this run: test_suite.py::test_two*"])
    result.stderr.fnmatch_lines(["*redis: not listed: test_suite.py::test_three*", "*make test-list*"])


def test_one_that_is_left_out_by_a_filter_fails(pytester: pytest.Pytester) -> None:
    assert run(pytester, SUITE, "--complete", "-k", "not test_two").ret != 0


def test_an_engine_that_is_not_up_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TEST_ENGINES", "")
    result = run(pytester)
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*redis: missing from this run: test_suite.py::test_one*"])


@pytest.mark.parametrize("how", ["pytest.skip('no')", "pytest.xfail('no')"])
def test_a_skip_fails(pytester: pytest.Pytester, how: str) -> None:
    skipping = f"    import pytest\n    'redis' in url and {how}\n"
    result = run(pytester, SUITE.replace("def test_two(url): pass", f"def test_two(url):\n{skipping}"))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["redis: did not pass: test_suite.py::test_two*"])


def test_an_engine_that_was_hardly_asked_fails(pytester: pytest.Pytester, lists: Path) -> None:
    (lists / "commands.yaml").write_text("redis: 11\n")
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["redis: 10 commands are fewer than 11"])


def test_the_lists_are_written_without_addresses_and_without_the_engines(
    pytester: pytest.Pytester, lists: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TEST_ENGINES", "")
    (lists / "redis.txt").unlink()
    assert run(pytester, SUITE, "--write-engine-tests").ret == 0
    assert (lists / "redis.txt").read_text() == LISTED


def test_a_test_that_names_no_engine_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "import os\nif os.environ['SHOP_TEST_ENGINES']:\n    def test_quiet(): pass\n")
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*test_quiet needs an engine: mark it*"])
