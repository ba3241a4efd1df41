"""Each planted fault turns its tests red, and without a fault they are green.

A fault is a change in a copy of the sources; `pytest` runs the named tests on that copy. A fault that no
longer fits the code says what it looked for, and where that stands now: `pytest tests/mutants -k fits`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from tests.mutants import faults
from tests.mutants.bills import BILL_FAULTS
from tests.mutants.cashier import CASHIER_FAULTS
from tests.mutants.faults import Fault
from tests.mutants.notices import NOTICE_FAULTS
from tests.mutants.planting import ROOT, file_named, place, plant
from tests.mutants.refunds import REFUND_FAULTS
from tests.mutants.wallet import WALLET_FAULTS
from tests.mutants.wechat import WECHAT_FAULTS

FAULTS = (
    *faults.FAULTS,
    *REFUND_FAULTS,
    *NOTICE_FAULTS,
    *WECHAT_FAULTS,
    *BILL_FAULTS,
    *CASHIER_FAULTS,
    *WALLET_FAULTS,
)
AT_A_TIME = 2
DEADLINE_S = 500
# Of the plugins only these: importing the others would take longer than most tests.
PLUGINS = ("no:cacheprovider", "pytest_asyncio.plugin", "pytest_timeout")
TESTS_FAILED = 1
ON_THE_COPY = "test_the_tests_run_on_the_copy"
SOUND = "no fault"


def run(fault: Fault, templates: Path) -> subprocess.CompletedProcess[str]:
    """The fault's tests, on a copy of the sources that has it."""
    folder = Path(tempfile.mkdtemp(prefix="shop-fault-"))
    try:
        source = folder / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        plant(fault.changes, source)
        env = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
        env |= {
            "PYTHONPATH": str(source),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "SHOP_SOURCE": str(source),
            "SHOP_STORIES": "mutants",
            "SHOP_TEMPLATES": str(templates),
        }
        plugins = [f"-p{name}" for name in PLUGINS]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            *plugins,
            __file__ + "::" + ON_THE_COPY,
            *(str(file_named(test)) for test in fault.tests),
        ]
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The runs that this session wants, on their way: two at a time, while the tests wait for theirs."""
    templates = tmp_path_factory.mktemp("templates")
    chosen = [
        cast(Fault, item.callspec.params["fault"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__) and "fault" in item.fixturenames
    ]
    noticing = sorted({test for fault in chosen or FAULTS for test in fault.tests})
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            fault.name: pool.submit(run, fault, templates)
            for fault in (Fault(SOUND, tuple(noticing), ()), *chosen)
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_fault_the_tests_are_green(
    runs: dict[str, Future[subprocess.CompletedProcess[str]]],
) -> None:
    done = runs[SOUND].result()
    assert done.returncode == 0, _told(done)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_tests_turn_red_for_every_fault(
    fault: Fault, runs: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    done = runs[fault.name].result()
    assert done.returncode == TESTS_FAILED, f"nobody noticed: {fault.name}\n{_told(done)}"
    assert "ImportError" not in _told(done)
    assert "SyntaxError" not in _told(done)


def _told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("fitting", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_sources_of_today(fitting: Fault) -> None:
    for change in fitting.changes:
        assert place(change).count == 1
    for test in fitting.tests:
        assert file_named(test).exists()


def test_faults_are_told_apart_and_are_many() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names)) >= 16


def test_the_tests_run_on_the_copy() -> None:
    if wanted := os.environ.get("SHOP_SOURCE"):
        import shop_order

        assert Path(str(shop_order.__file__)).is_relative_to(wanted)
