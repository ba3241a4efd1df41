"""The key of the daily roots as operators make it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from shop_order.pkg.ed25519 import Ed25519Keys


def test_the_command_that_the_documents_name_makes_one(tmp_path: Path) -> None:
    file = tmp_path / "history_root.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(file)], check=True)
    assert Ed25519Keys(file.read_bytes()).sign(b"a root")
