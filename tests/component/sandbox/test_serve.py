"""`shop-sandbox serve` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import httpx

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import GoodsStub

COMMAND = [sys.executable, "-m", "shop_sandbox.main", "serve"]


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    ours = {"GRPC_PORT": "0", "HTTP_PORT": "0", "DATA_DIR": str(tmp_path), "KEYS_DIR": str(tmp_path / "keys")}
    named = {f"SHOP_SANDBOX_{key}": value for key, value in {**ours, **settings}.items()}
    return {**os.environ, **named, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}


def test_it_serves_until_sigterm_and_ends_well(tmp_path: Path) -> None:
    with subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r":(\d+), .*:(\d+)$", said.strip())
            assert found, said
            with grpc.insecure_channel(f"127.0.0.1:{found[1]}") as channel:
                assert GoodsStub(channel).BatchGetGoods(pb.GoodsIds(ids=[101]), timeout=5).goods
            assert httpx.get(f"http://127.0.0.1:{found[2]}/healthz", trust_env=False).json() == {
                "status": "ok"
            }
            for setting, port in (("GRPC_PORT", found[1]), ("HTTP_PORT", found[2])):
                taken = subprocess.run(
                    COMMAND,
                    env=environment(tmp_path / setting, **{setting: port}),
                    capture_output=True,
                    text=True,
                    timeout=20,
                    check=False,
                )
                assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
                assert port in taken.stderr
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_bad_setting_ends_with_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        COMMAND,
        env=environment(tmp_path, COLOUR="red"),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (2, "shop-sandbox: unknown setting SHOP_SANDBOX_COLOUR\n")
