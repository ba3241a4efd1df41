"""Engines of our own, which may be killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.stack import consul, nacos
from deploy.stack.__main__ import ROOT
from tests.faults.engines import own
from tests.faults.engines.own import Own
from tests.plugins.engines import available

collect_ignore = [f"test_{name}_gone.py" for name in ("consul", "nacos") if not available(name)]


@pytest.fixture(scope="module")
def own_consul() -> Iterator[Own]:
    """A Consul that runs."""
    consul.install(ROOT)
    engine = own.own_consul()
    engine.start()
    yield engine
    engine.end()


@pytest.fixture(scope="module")
def own_nacos() -> Iterator[Own]:
    """A Nacos that runs."""
    nacos.install(ROOT)
    engine = own.own_nacos()
    engine.start()
    yield engine
    engine.end()
