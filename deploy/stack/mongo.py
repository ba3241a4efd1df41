"""A server for MongoDB's protocol: mongo-java-server, because no public registry has MongoDB itself."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST

PORT = 27117
URLS = (f"mongodb://{HOST}:{PORT}/shop_logs",)
NAME = "mongo"
PROGRAMS = (NAME,)
_SOURCE = Path(__file__).with_name("mongo_server")


def _cache(root: Path) -> Path:
    return root / "cache" / "mongo"


def install(root: Path) -> None:
    """Fetch the libraries from Maven Central and compile the one class that starts them."""
    processes.ensure_tools("java")  # also if the cache came from another machine
    cache, pom, source = _cache(root), _SOURCE / "pom.xml", _SOURCE / "StandIn.java"
    if processes.up_to_date(cache / "StandIn.class", pom, source):
        return
    cache.mkdir(parents=True, exist_ok=True)
    processes.maven(pom, cache / "lib")
    processes.ensure_tools("javac")
    processes.run(["javac", "-cp", f"{cache / 'lib'}/*", "-d", str(cache), str(source)])


def start(root: Path) -> None:
    """Start the server unless it is running."""
    start_on(root, NAME, PORT, root / "data" / "mongo" / "shop.db")


def ready(root: Path) -> bool:
    """See `ready_on`."""
    return processes.running(root, NAME) > 0 and ready_on(PORT)


def stop(root: Path) -> None:
    """Stop the server; keep the data."""
    processes.stop(root, NAME)


def start_on(root: Path, name: str, port: int, file: Path) -> None:
    """Start a separate server under `name`, for tests that kill it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cache = _cache(root)
    path = f"{cache / 'lib'}/*:{cache}"
    processes.start(
        root, name, ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", path, "StandIn", str(port), str(file)]
    )


def ready_on(port: int) -> bool:
    """Whether a `ping` in MongoDB's protocol is answered."""
    body = _document(b"\x10ping\x00\x01\x00\x00\x00" + b"\x02$db\x00" + _text("admin"))
    message = struct.pack("<I", 0) + b"\x00" + body
    head = struct.pack("<iiii", 16 + len(message), 1, 0, 2013)
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(head + message)
            answer = connection.recv(65_536)
    except OSError:
        return False
    return b"ok" in answer and b"errmsg" not in answer


def _text(value: str) -> bytes:
    raw = value.encode() + b"\x00"
    return struct.pack("<i", len(raw)) + raw


def _document(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\x00"
