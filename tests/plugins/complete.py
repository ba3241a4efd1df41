"""`--complete`: no test of an engine is missing from the run, none is skipped, and the engines were asked.

`tests/engines/<engine>.txt` lists the tests of each engine; `make test-list` writes them. `commands.yaml`
says how many commands a whole run sends to each engine at least, by the engine's own count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from _pytest.terminal import TerminalReporter

from tests.plugins.engines import EXTERNAL, engines_of

LISTS = Path(__file__).resolve().parents[1] / "engines"
SHOWN = 20
_STATE = pytest.StashKey["Run"]()


@dataclass
class Run:
    """What is known of this run: the tests of each engine, those that passed, and the counts at its begin."""

    names: Mapping[str, str]  # URL: engine
    tests: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    passed: set[str] = field(default_factory=set)
    before: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("engines")
    group.addoption("--complete", action="store_true", help="fail if a test of an engine did not pass")
    group.addoption("--only-engines", action="store_true", help="leave out tests that need no engine")
    group.addoption("--write-engine-tests", action="store_true", help="write tests/engines again")


def pytest_configure(config: pytest.Config) -> None:
    if not any(config.getoption(name) for name in ("complete", "only_engines", "write_engine_tests")):
        return
    known = _stack()
    if config.getoption("write_engine_tests"):  # to list tests, the engines need not be up
        os.environ["SHOP_TEST_ENGINES"] = " ".join(known)
    config.stash[_STATE] = Run(_offered(known))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find the tests of engines, and compare them with the lists."""
    if (run := config.stash.get(_STATE, None)) is None:
        return
    needed = _needing_engines(config, items)
    for item in needed:
        if not item.get_closest_marker("long"):  # of those, a run may take a sample
            for engine in sorted(_engines(run, item)):
                run.tests[engine].add(_short(run, item.nodeid))
    if config.getoption("write_engine_tests"):
        _write(run.tests)
        config.hook.pytest_deselected(items=[*items])
        items.clear()
        return
    if config.getoption("only_engines"):
        kept = set(needed)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = needed
    if config.getoption("complete"):
        _compare(run)


def _needing_engines(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """Those that are not there when no engine is."""
    where = [str(path) for path in config.args]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    plain = ["-o", "addopts=--strict-markers --import-mode=importlib", *where]
    environ = {**os.environ, "SHOP_TEST_ENGINES": ""}
    done = subprocess.run(
        [*command, *plain], cwd=config.rootpath, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise pytest.UsageError(f"the tests without engines can't be listed: {done.stdout[-2000:]}")
    embedded = set(done.stdout.splitlines())
    return [item for item in items if item.nodeid not in embedded]


def _engines(run: Run, item: pytest.Item) -> Iterable[str]:
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if by_url := {run.names[value] for value in params if isinstance(value, str) and value in run.names}:
        return by_url
    if by_mark := set(engines_of(item)) & set(EXTERNAL):
        return by_mark
    raise pytest.UsageError(f"{item.nodeid} needs an engine: mark it with pytest.mark.engine('...')")


def _short(run: Run, nodeid: str) -> str:
    """The name of a test without this machine's addresses."""
    for url in sorted(run.names, key=len, reverse=True):
        nodeid = nodeid.replace(url, run.names[url])
    return nodeid


def _stack() -> dict[str, str]:
    """The names of the stack's engines by their URLs."""
    from deploy.stack.__main__ import ENGINES, engine

    known: dict[str, str] = {}
    for module in ENGINES:
        for url in engine(module).URLS:
            scheme = url.partition(":")[0]
            known[url] = module if scheme == "mysql" else scheme
    return known


def _offered(known: Mapping[str, str]) -> dict[str, str]:
    """Those that SHOP_TEST_ENGINES offers. Raises UsageError for what the stack does not have."""
    named = os.environ.get("SHOP_TEST_ENGINES", "").split()
    if foreign := set(named) - set(known):
        raise pytest.UsageError(f"not an engine of `make stack`: {' '.join(sorted(foreign))}")
    return {url: known[url] for url in named}


# ---- the lists ----


def _listed() -> dict[str, set[str]]:
    return {file.stem: set(file.read_text("utf-8").splitlines()) for file in LISTS.glob("*.txt")}


def _write(tests: Mapping[str, set[str]]) -> None:
    for engine, names in tests.items():
        (LISTS / f"{engine}.txt").write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")


def _compare(run: Run) -> None:
    """Raises UsageError if there are other tests than listed, or an engine of the lists is not offered."""
    wrong = []
    for engine, names in sorted(_listed().items()):
        there = run.tests.get(engine, set())
        wrong += [f"{engine}: missing from this run: {name}" for name in sorted(names - there)]
        wrong += [f"{engine}: not listed: {name}" for name in sorted(there - names)]
    wrong += [f"{engine}: has no list" for engine in sorted(set(run.tests) - set(_listed()))]
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        hint = "if that is what you want, write the lists again: make test-list"
        raise pytest.UsageError("\n".join([*wrong[:SHOWN], *more, hint]))


# ---- the run ----


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    run = session.config.stash.get(_STATE, None)
    if run is None or not session.config.getoption("complete"):
        return (yield)
    run.before = _counts(run)
    try:
        return (yield)
    finally:
        _judge(run, _counts(run))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    run = item.config.stash.get(_STATE, None)
    if run and report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        run.passed.add(_short(run, item.nodeid))
    return report


def _counts(run: Run) -> dict[str, int]:
    from tests.engines.counters import count

    found: dict[str, int] = defaultdict(int)
    for url, name in run.names.items():
        found[name] += count(url)
    return found


def _judge(run: Run, after: Mapping[str, int]) -> None:
    minimum = yaml.safe_load((LISTS / "commands.yaml").read_text("utf-8"))
    for engine, names in sorted(run.tests.items()):
        run.faults += [f"{engine}: did not pass: {name}" for name in sorted(names - run.passed)]
        # One that was killed and came back began to count anew.
        commands = after[engine] - run.before[engine]
        commands = after[engine] if commands < 0 else commands
        run.told.append(f"{engine}: {len(names & run.passed)} tests passed, {commands} commands arrived")
        if commands < minimum[engine]:
            run.faults.append(f"{engine}: {commands} commands are fewer than {minimum[engine]}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    run = session.config.stash.get(_STATE, None)
    if run is None:
        return
    if session.config.getoption("write_engine_tests") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK
    if run.faults and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    if (run := config.stash.get(_STATE, None)) is None:
        return
    if config.getoption("write_engine_tests"):
        for engine, names in sorted(run.tests.items()):
            terminalreporter.line(f"{LISTS.name}/{engine}.txt: {len(names)} tests")
    for line in run.told:
        terminalreporter.line(line)
    for fault in run.faults:
        terminalreporter.line(fault, red=True)
