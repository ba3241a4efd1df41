"""The summary of engines tells the truth, and a skip cannot hide in CI."""

import pytest

from tests.plugins.engines import available

SUITE = """
import pytest

@pytest.mark.engine("sqlite")
def test_passes(): pass

@pytest.mark.engine("mysql")
def test_fails(): assert False

@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:2", "mysql://not/offered"])
def test_named_by_url(url): pass

@pytest.mark.engine("consul")
@pytest.mark.skip
def test_left_out(): pass
"""


@pytest.fixture(autouse=True)
def outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("SHOP_TEST_ENGINES", "redis://127.0.0.1:1/0 redis+cluster://127.0.0.1:2")


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest("-p", "tests.plugins.engines", "-p", "no:asyncio", "-p", "no:cacheprovider")


def summary(result: pytest.RunResult) -> list[str]:
    """What the run said of the engines."""
    return [line for line in result.outlines if "exercised: " in line]


def test_only_a_test_that_passed_counts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = run(pytester)
    result.assert_outcomes(passed=4, failed=1, skipped=1)
    assert summary(result) == [
        "exercised: sqlite (1 test), redis (2 tests)",
        "not exercised: memory, embedded, file, none, mysql, rocketmq, mongodb, consul, nacos, nginx",
    ]


def test_a_whole_service_on_named_engines_does_not_count_for_those_it_replaced(
    pytester: pytest.Pytester,
) -> None:
    folder = pytester.mkdir("faults")
    (folder / "test_whole.py").write_text(
        "import pytest\n@pytest.mark.engine('mysql', 'redis')\ndef test(): pass"
    )
    assert summary(run(pytester))[0] == (
        "exercised: embedded (1 test), file (1 test), none (1 test), mysql (1 test), redis (1 test)"
    )


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("false", 0), ("true", 1)])
def test_a_skip_fails_the_run_in_ci_only(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, code: int
) -> None:
    pytester.makepyfile("import pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('no engine')")
    monkeypatch.setenv("CI", ci)
    assert run(pytester).ret == code


def test_a_whole_module_that_is_skipped_fails_the_run_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        test_a="def test_one(): pass", test_b="import pytest\npytest.importorskip('not_there')"
    )
    monkeypatch.setenv("CI", "true")
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["CI does not allow a skip: *test_b*"])


def test_a_suite_runs_over_the_embedded_engine_and_those_the_machine_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SHOP_TEST_ENGINES", raising=False)
    assert available("memory", "redis") == ["memory://"]
    monkeypatch.setenv("SHOP_TEST_ENGINES", "mysql://h/db redis://h:1/0 redis+cluster://h:2")
    assert available("memory", "redis") == ["memory://", "redis://h:1/0", "redis+cluster://h:2"]
