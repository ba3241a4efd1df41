"""What only shows between processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

LOAD = """
import os
from shop_order.configs import load
print(load(os.environ).settings.auth.link_keys[0].get_secret_value())
"""

LOG = """
import sys
from shop_order.pkg.log import LogConfig, Logging, get_logger
Logging(LogConfig(filename=sys.argv[1], stdout=False))
for number in range(100):
    get_logger("a").info("line", number=number)
raise SystemExit(3)
"""


def test_processes_that_start_together_share_one_development_key(tmp_path: Path) -> None:
    environ = {**os.environ, "SHOP_ORDER_DATA_DIR": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", LOAD], stdout=subprocess.PIPE, env=environ, text=True)
        for _ in range(4)
    ]
    keys = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert keys == {(tmp_path / "dev" / "link.key").read_text().strip()}


def test_a_process_that_just_ends_has_written_its_log(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    ended = subprocess.run([sys.executable, "-c", LOG, str(file)], timeout=60, check=False)
    assert ended.returncode == 3
    assert [json.loads(line)["number"] for line in file.read_bytes().splitlines()] == list(range(100))
