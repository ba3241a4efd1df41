"""Records what the whole run sends to the MySQL store, for the test that explains it, which comes last."""

import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

from tests.plugins.engines import available
from tests.recording import recorder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: comes after all other tests, whose doings it looks at")
    if not available("mysql"):
        return
    if recorder.FOLDER not in os.environ:  # else whoever named it wants to look into it
        folder = tempfile.mkdtemp(prefix="shop-statements-")
        os.environ[recorder.FOLDER] = folder
        config.add_cleanup(lambda: forget(folder))
    for name in recorder.WATCHED:
        recorder.watch(import_module(name))


def forget(folder: str) -> None:
    """At the end of the run."""
    del os.environ[recorder.FOLDER]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def statements() -> Path:
    """The folder of what was recorded so far."""
    return Path(os.environ[recorder.FOLDER])
