"""The providers' own Java libraries: `python -m tests.providers.library` builds the driver, tests ask it.

java/pom.xml pins the versions. The driver stays in `.stack` (SHOP_STACK), beside the programs of the engines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from deploy.stack import processes
from deploy.stack.__main__ import ROOT

SOURCE = Path(__file__).with_name("java")
POM, CLASSES = SOURCE / "pom.xml", sorted(SOURCE.glob("*.java"))
FOLDER = ROOT / "cache" / "providers"
MADE = FOLDER / "made"  # written last
MEMORY = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
ANSWER_S = 60


class Refused(Exception):
    """The library threw; the text has the class and message of each cause."""


def built() -> bool:
    """Whether the driver of these sources is there."""
    return processes.up_to_date(MADE, POM, *CLASSES)


def build() -> None:
    """Fetch the libraries with Maven and compile the driver, unless it is there. Raises StackError."""
    processes.ensure_tools("java")
    with processes.exclusive("install-providers"):
        if built():
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        processes.maven(POM, FOLDER / "lib")
        processes.ensure_tools("javac")
        target = ("-d", str(FOLDER / "classes"))
        processes.run(["javac", "-cp", f"{FOLDER / 'lib'}/*", *target, *map(str, CLASSES)])
        MADE.touch()


class Library:
    """One process of the driver; `ask` may be called from any thread."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        path = f"{FOLDER / 'lib'}/*:{FOLDER / 'classes'}"
        self._process = subprocess.Popen(
            ["java", *MEMORY, "-cp", path, "Driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
        )
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def ask(self, do: str, **asked: object) -> Any:
        """What the library answers. Raises Refused if it threw, RuntimeError if the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        too_late = threading.Timer(ANSWER_S, self._process.kill)
        with self._one_at_a_time:
            too_late.start()
            try:
                self._process.stdin.write(json.dumps({"do": do, **asked}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            finally:
                too_late.cancel()
        if not line:
            self._said.seek(0)
            raise RuntimeError(self._said.read()[-2000:].decode(errors="replace"))
        told = json.loads(line)
        if "refused" in told:
            raise Refused(told["refused"])
        return told["answer"]


if __name__ == "__main__":
    try:
        build()
    except processes.StackError as failed:
        sys.exit(str(failed))
