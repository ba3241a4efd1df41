"""Of long matrices a sample runs, which can be drawn again; the others are for `make test-long`."""

from __future__ import annotations

import re

import pytest

SUITE = """
import pytest

def test_short(): pass

@pytest.mark.long
@pytest.mark.parametrize("number", range(25))
def test_matrix(number): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("SHOP_LONG_SEED", raising=False)
    pytester.makepyfile(test_one=SUITE, test_other=SUITE)
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    plugins = ("-p", "tests.plugins.long", "-p", "no:asyncio", "-p", "no:cacheprovider")
    return suite.runpytest("-v", *plugins, *options)


def passed(result: pytest.RunResult) -> set[str]:
    return {line.split()[0] for line in result.outlines if " PASSED" in line}


def seed_of(result: pytest.RunResult) -> str:
    """The seed that the run names."""
    (line,) = [line for line in result.outlines if line.startswith("long: ")]
    return line.rpartition("=")[2]


def test_who_names_a_file_runs_all_of_it(suite: pytest.Pytester) -> None:
    run(suite).assert_outcomes(passed=52)
    run(suite, "--long=sample", "test_one.py").assert_outcomes(passed=26)


def test_the_long_ones_run_alone_if_asked(suite: pytest.Pytester) -> None:
    run(suite, "--long=only").assert_outcomes(passed=50, deselected=2)


def test_a_sample_has_some_of_each_file_and_tells_its_seed(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_LONG_SEED", "one")
    result = run(suite, "--long=sample")
    result.assert_outcomes(passed=8, deselected=44)
    result.stdout.fnmatch_lines(["long: 6 of 50 tests, drawn by SHOP_LONG_SEED=one"])
    assert len([name for name in passed(result) if name.startswith("test_one.py::test_matrix")]) == 3
    assert passed(run(suite, "--long=sample")) == passed(result)
    monkeypatch.setenv("SHOP_LONG_SEED", "two")
    assert passed(run(suite, "--long=sample")) != passed(result)


def test_without_a_seed_it_is_drawn_by_the_commit(suite: pytest.Pytester) -> None:
    assert seed_of(run(suite, "--long=sample")) == "0"
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        suite.run("git", *command)
    assert re.fullmatch("[0-9a-f]{12}", seed_of(run(suite, "--long=sample")))
