"""An empty gRPC server, to measure the transport alone: `python -m bench.empty KIND [ADDRESS]`.

KIND: `plain` answers at once, `call` first calls the server at ADDRESS, `hop` first runs a job in a thread.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import grpc.aio
import uvloop

from bench import machine

METHOD = "/bench.Empty/Answer"
CALLERS = 32
BODY = bytes(300)
TOKEN = (("authorization", "Bearer " + "x" * 250),)


async def serve(kind: str, address: str) -> None:
    """Print the port and serve until killed."""
    threads = ThreadPoolExecutor(1)
    other: Any = grpc.aio.insecure_channel(address).unary_unary(METHOD) if kind == "call" else None
    loop = asyncio.get_running_loop()

    async def answer(body: bytes, context: Any) -> bytes:
        if kind == "call":
            await other(body, metadata=TOKEN, timeout=10)
        elif kind == "hop":
            await loop.run_in_executor(threads, time.monotonic)
        return body

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods: dict[str, Any] = {"Answer": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Empty", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def server_us(kind: str, seconds: float) -> float:
    """CPU microseconds per call of such a server with 32 callers."""
    with ExitStack() as stack:

        def start(*arguments: str) -> tuple[subprocess.Popen[bytes], str]:
            command = [sys.executable, "-m", "bench.empty", *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, f"127.0.0.1:{int(process.stdout.readline())}"

        behind = [start("plain")[1]] if kind == "call" else []
        process, address = start(kind, *behind)
        return uvloop.run(drive(process.pid, address, seconds))


async def drive(pid: int, address: str, seconds: float) -> float:
    """CPU microseconds per call."""
    channel = grpc.aio.insecure_channel(address)
    call: Any = channel.unary_unary(METHOD)
    calls, begin = 0, machine.cpu_s(pid)
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call(BODY, metadata=TOKEN, timeout=10)
            calls += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    used = machine.cpu_s(pid) - begin
    await channel.close()
    return 1e6 * used / calls


def main(arguments: Sequence[str]) -> None:
    """Serve, with the command line's arguments."""
    uvloop.run(serve(arguments[0], arguments[1] if len(arguments) > 1 else ""))


if __name__ == "__main__":
    main(sys.argv[1:])
