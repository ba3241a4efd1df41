"""Says at the end of a run which engines it exercised; with CI set, a skipped test fails the run."""

import os
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.providers import library

# By the scheme of its URL: the embedded ones are always there, the others where SHOP_TEST_ENGINES names them.
EMBEDDED = ("sqlite", "memory", "embedded", "file", "none")
EXTERNAL = ("mysql", "redis", "rocketmq", "mongodb", "consul", "nacos", "nginx")

# These tests start the whole service with its packaged settings, but for the engines they name.
WHOLE_SERVICE_FOLDERS = {"e2e", "faults"}
WHOLE_SERVICE_ENGINES = {
    "sqlite": "mysql",
    "memory": "redis",
    "embedded": "rocketmq",
    "file": "nacos",
    "none": "consul",
}

_PROPERTY = "engines"  # of a report: the engines of the test; a worker of pytest-xdist sends it along


def available(*schemes: str) -> list[str]:
    """URLs of the engines this machine offers among `schemes`: what a contract suite is parametrised with.

    An embedded engine is given as `scheme://`; the others as SHOP_TEST_ENGINES names them (blanks between).
    """
    named = os.environ.get("SHOP_TEST_ENGINES", "").split()
    embedded = [f"{scheme}://" for scheme in schemes if scheme in EMBEDDED]
    return embedded + [url for url in named if _scheme(url) in schemes]


def _scheme(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]


def engines_of(item: pytest.Item) -> Iterator[str]:
    """The schemes of the engines that a test uses."""
    named = set(_named(item))
    yield from named
    if WHOLE_SERVICE_FOLDERS.intersection(item.path.parts):
        yield from (own for own, instead in WHOLE_SERVICE_ENGINES.items() if instead not in named)


def _named(item: pytest.Item) -> Iterator[str]:
    for marker in item.iter_markers("engine"):
        yield from marker.args
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        # Only what `available` offers: a URL that a test merely talks about was not exercised.
        offered = set(available(*EMBEDDED, *EXTERNAL))
        urls = (value for value in item.callspec.params.values() if isinstance(value, str))
        yield from (_scheme(url) for url in urls if url in offered)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for engines that this machine does not offer: pytest would call it skipped."""
    empty = [item for item in items if any(map(_is_for_no_engine, item.iter_markers("skip")))]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]


def _is_for_no_engine(mark: pytest.Mark) -> bool:
    return str(mark.kwargs.get("reason", "")).startswith("got empty parameter set")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "engine(*schemes): exercises these engines; counted in the summary if it passes"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.passed:
        report.user_properties.append((_PROPERTY, sorted(set(engines_of(item)))))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _skips_that_count(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skips_that_count(config: pytest.Config) -> list[pytest.TestReport]:
    if os.environ.get("CI", "").lower() not in {"1", "true", "yes"}:
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not isinstance(reporter, TerminalReporter):  # a worker: the main process has all reports
        return []
    return list(reporter.stats.get("skipped", []))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    exercised = _exercised(terminalreporter)
    if exercised or config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        terminalreporter.section("engines")
        terminalreporter.line("exercised: " + (", ".join(_counted(exercised)) or "none"))
        missing = [name for name in EMBEDDED + EXTERNAL if name not in exercised]
        terminalreporter.line("not exercised: " + (", ".join(missing) or "none"))
        if not library.built():
            terminalreporter.line("left out: the providers' own libraries (make test-providers)")
    for skipped in _skips_that_count(config):
        terminalreporter.line(f"CI does not allow a skip: {skipped.nodeid}", red=True)


def _exercised(reporter: TerminalReporter) -> Counter[str]:
    passed = reporter.stats.get("passed", [])
    return Counter(engine for report in passed for engine in dict(report.user_properties).get(_PROPERTY, ()))


def _counted(exercised: Counter[str]) -> Iterator[str]:
    for name in EMBEDDED + EXTERNAL:
        if name in exercised:
            yield f"{name} ({exercised[name]} test{'s' * (exercised[name] > 1)})"
