"""deploy/systemd/shop-order@.service: systemd accepts it, and the service accepts its settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shop_order.cmd.cli.command import REFUSED
from tests.deploy.settings import ROOT, loads
from tests.unit.configs.test_production import production

UNIT = ROOT / "deploy" / "systemd" / "shop-order@.service"
PROGRAM = "/opt/shop-order/.venv/bin/shop-order"
MAX_EXPOSURE = "20"  # tenths; systemd calls 2.0 and less OK
analyze = pytest.mark.parametrize("analyze", [path for path in [shutil.which("systemd-analyze")] if path])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    text = UNIT.read_text("utf-8")
    assert PROGRAM in text
    file = tmp_path / UNIT.name
    file.write_text(text.replace(PROGRAM, sys.executable), "utf-8")
    return file


@analyze
def test_systemd_finds_no_fault(unit: Path, analyze: str) -> None:
    assert subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=True).stderr == ""
    unit.write_text(unit.read_text("utf-8").replace("LimitNOFILE=", "LimitNOFILES="), "utf-8")
    found = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert "LimitNOFILES" in found.stderr


@analyze
def test_it_is_hardened(unit: Path, analyze: str) -> None:
    command = [analyze, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout  # it is 1 above the threshold


def test_an_instance_s_name_gives_its_ports(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=/usr/bin/env (.*)$", text, re.MULTILINE)
    assert command.endswith(f" {PROGRAM} serve")
    shared = dict(line.split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE))
    for name in "123456789":
        own = dict(re.findall(r"(SHOP_ORDER_\w+)=(\S+)", command.replace("%i", name)))
        server = loads({**production(tmp_path), **shared, **own}).server
        assert (server.http_port, server.grpc_port) == (8080 + int(name), 50050 + int(name))


def test_a_stop_has_the_time_it_may_take_and_a_refused_start_is_not_repeated(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8")
    (timeout_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    server = loads(production(tmp_path)).server
    assert int(timeout_s) > server.stop_wait_s + server.stop_timeout_s
    assert f"RestartPreventExitStatus={REFUSED}\n" in text
