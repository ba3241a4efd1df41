"""`make run-stack`: three instances behind nginx with TLS, on all engines, from start to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.stack import nginx, processes
from deploy.stack.__main__ import ROOT as STACK
from deploy.stack.instances import GRPC, PUBLIC, SANDBOX_HTTP
from tests.plugins.engines import EXTERNAL
from tests.recording.recorder import child_path

ROOT = Path(__file__).resolve().parents[2]
START_S = 150.0
PAID, COMPLETED = 2, 4

pytestmark = [pytest.mark.engine(*EXTERNAL), pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass
class Started:
    """The launcher, and what it said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    bought: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def until(self, words: str, timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while words not in self.said:
            assert time.monotonic() < end and self.process.poll() is None, self.said[-3000:]
            time.sleep(0.1)

    def token(self, name: str) -> str:
        found = re.search(rf"^  {name}=(\S+)$", self.said, re.MULTILINE)
        assert found
        return found[1]

    def pasted(self, first: str, last: str) -> str:
        """What a command of the greeting prints; it begins and ends with such lines."""
        command = re.search(rf"^{first}.*?^{last}$", self.said, re.MULTILINE | re.DOTALL)
        assert command
        python = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = ran(["sh", "-ec", command[0]], {**os.environ, **python})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, method: str, path: str, token: str, body: object = None) -> dict[str, Any]:
        """Through the gateway."""
        answer = self.http.request(
            method, f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, json=body
        )
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=PUBLIC, verify=trusted(), trust_env=False, timeout=15)


def ran(command: list[str], environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=nginx.certificate(STACK))


@pytest.fixture(scope="module", autouse=True)
def watched() -> Iterator[None]:
    """What the instances and the commands send to MySQL is explained with all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", child_path())
        yield


@pytest.fixture(scope="module")
def town() -> Iterator[Started]:
    command = [sys.executable, "-m", "deploy.stack.shop", "run"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOP_ORDER_")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started = Started(process)
    assert process.stdout
    reader = threading.Thread(target=started.lines.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        started.until("the same with grpcurl", START_S)
        yield started
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)
    reader.join()
    assert process.returncode == 0
    order = ["instances: stopped", "relay: stopped", "sandbox: stopped"]
    assert [line.strip().removeprefix("stack: ") for line in started.lines if ": stopped" in line] == order
    assert not list((STACK / "run").glob("shop-*.pid"))
    assert started.http.get("/api/v1/orders").status_code == 503, "the gateway says so itself"


def test_an_order_is_bought_through_the_gateway_from_the_first_curl_to_the_receipt(town: Started) -> None:
    buyer, admin = town.token("BUYER_7"), town.token("ADMIN")
    order_sn = json.loads(town.pasted("curl -sS ", r".*-m json\.tool --no-ensure-ascii"))["data"]["order_sn"]
    town.bought.append(order_sn)
    payment = town.call("POST", f"/orders/{order_sn}/pay", buyer, {"payment_type": "alipay"})
    assert httpx.get(payment["payment_url"], trust_env=False).status_code == 200
    paid = httpx.post(
        f"http://127.0.0.1:{SANDBOX_HTTP}/alipay/sim/{payment['payment_sn']}/pay", trust_env=False, timeout=15
    )
    assert paid.json()["notices"][-1]["accepted"], "the notice came through the gateway"
    assert town.call("GET", f"/orders/{order_sn}", buyer)["status"] == PAID
    logistics = {"logistics_company": "SF", "logistics_no": "SF1234567890"}
    town.call("POST", f"/admin/orders/{order_sn}/ship", admin, logistics)
    assert town.call("POST", f"/orders/{order_sn}/confirm", buyer)["status"] == COMPLETED


def test_the_first_grpc_call_goes_through_the_gateway(town: Started) -> None:
    said = town.pasted(r"\S*python\S* - <<'PY'", "PY")
    order_sn = said.split()[1]
    town.bought.append(order_sn)
    assert town.call("GET", f"/orders/{order_sn}", town.token("BUYER_7"))["order_sn"] == order_sn


def test_what_the_instances_send_to_the_database_is_recorded(town: Started, statements: Path) -> None:
    pids = [processes.running(STACK, f"shop-order-{n}") for n in (1, 2, 3)]
    assert [pid for pid in pids if not (statements / f"{pid}.jsonl").exists()] == []


def registered() -> set[int]:
    """The gRPC ports of the instances that Consul would name."""
    asked = "http://127.0.0.1:28500/v1/health/service/order-service?passing"
    return {row["Service"]["Port"] for row in httpx.get(asked, trust_env=False).json()}


def becomes(wanted: set[int], timeout_s: float = 40.0) -> None:
    end = time.monotonic() + timeout_s
    while registered() != wanted:
        assert time.monotonic() < end, registered()
        time.sleep(0.2)


def test_an_instance_that_is_killed_comes_back_and_readers_notice_nothing(town: Started) -> None:
    becomes({GRPC + n for n in (1, 2, 3)})
    os.kill(processes.running(STACK, "shop-order-2"), signal.SIGKILL)
    token = {"Authorization": f"Bearer {town.token('BUYER_7')}"}
    with town.http as http:
        answers = [http.get("/api/v1/orders", headers=token).status_code for _ in range(40)]
    assert answers == [200] * 40
    town.until("order-2 exited")
    becomes({GRPC + n for n in (1, 2, 3)})


def test_an_instance_is_added_and_removed_while_it_runs(town: Started) -> None:
    command = [sys.executable, "-m", "deploy.stack.shop"]
    processes.run([*command, "add"], cwd=ROOT)
    becomes({GRPC + n for n in (1, 2, 3, 4)})
    processes.run([*command, "remove"], cwd=ROOT)
    assert registered() == {GRPC + n for n in (1, 2, 3)}
    assert town.call("GET", "/orders", town.token("BUYER_7"))


def test_the_doctor_finds_nothing_about_what_was_bought(town: Started) -> None:
    environ = (STACK / "shop" / "mysql" / "env").read_text()
    command = f"{environ}\nexec {sys.executable} -m shop_order.cmd.main doctor"
    end = time.monotonic() + 30
    while " 0 in progress" not in (said := ran(["sh", "-c", command]).stdout):
        assert time.monotonic() < end, said
    assert town.bought and not [order_sn for order_sn in town.bought if order_sn in said]


def test_a_second_one_is_refused(town: Started) -> None:
    done = ran([sys.executable, "-m", "deploy.stack.shop", "run"])
    assert done.returncode == 1 and "make run-stack is already running" in done.stderr
