"""`make bench ARGS=--profile`: the service's CPU use in each run, by thread and by library (perf)."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SAMPLES_A_SECOND = 499
STOP_LIMIT_S = 10.0
SHOWN = 1.0  # shares below this percentage are summed as `rest`
LOOP = "event loop"
OTHER_PYTHON = "other Python"  # writer, readers, log: perf sees no names of Python threads
LIBRARIES = {  # prefix of a mapped file's name, and the library
    "[kernel": "kernel",
    "[vdso]": "kernel",
    "libpython": "Python",
    "python": "Python",
    "cygrpc": "grpc",
    "libc.": "C library",
    "libstdc++": "C library",
    "ld-linux": "C library",
    "loop.": "uvloop",
    "_message.": "protobuf",
    "connection.": "asyncmy",
    "protocol.": "asyncmy",
    "cursors.": "asyncmy",
    "converters.": "asyncmy",
    "libsqlite3": "SQLite",
    "libcrypto": "OpenSSL",
    "_rust.": "OpenSSL",  # cryptography has it built in
}


@dataclass(frozen=True, slots=True)
class Shares:
    """Percent of the samples taken in one run, the largest first."""

    threads: Mapping[str, float]
    libraries: Mapping[str, float]


class Profile:
    """`with Profile(pids) as profile:` samples these processes; afterwards `shares` returns the shares.

    Raises OSError without perf.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-profile-")
        self._file = Path(self._folder.name) / "perf.data"
        watched = ",".join(map(str, self._pids))
        self._recorder = subprocess.Popen(
            ["perf", "record", "-q", "-F", str(SAMPLES_A_SECOND), "-p", watched, "-o", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.send_signal(signal.SIGINT)  # makes perf finish the file
        self._recorder.wait(STOP_LIMIT_S)
        report = ["perf", "report", "-q", "--stdio", "-F", "sample,pid,comm,dso", "-t", "|"]
        output = subprocess.run([*report, "-i", str(self._file)], capture_output=True, text=True, check=True)
        self._folder.cleanup()
        self._rows = [line.split("|") for line in output.stdout.splitlines() if line.count("|") == 3]

    def shares(self) -> Shares:
        """The shares of the samples."""
        threads: Counter[str] = Counter()
        libraries: Counter[str] = Counter()
        for samples, thread, comm, library in self._rows:
            threads[self._thread(int(thread.split(":")[0]), comm.strip())] += int(samples)
            libraries[self._library(library.strip())] += int(samples)
        return Shares(percent(threads), percent(libraries))

    def _thread(self, tid: int, comm: str) -> str:
        if tid in self._pids:
            return LOOP
        return OTHER_PYTHON if comm.startswith("python") else "grpc's own"

    def _library(self, file: str) -> str:
        return next((name for start, name in LIBRARIES.items() if file.startswith(start)), "rest")


def percent(counted: Counter[str]) -> dict[str, float]:
    """Shares in percent; small ones are summed as `rest`."""
    whole = counted.total() or 1
    shares = {name: round(100 * n / whole, 1) for name, n in counted.most_common()}
    large = {name: share for name, share in shares.items() if share >= SHOWN and name != "rest"}
    rest = round(sum(shares.values()) - sum(large.values()), 1)
    return large | ({"rest": rest} if rest >= SHOWN else {})
