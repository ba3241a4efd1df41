"""What a unit test may not do fails it, even where the code under test catches the refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

GUARD = Path(__file__).resolve().parents[1] / "unit" / "conftest.py"
TESTS = """
import asyncio, contextlib, socket, subprocess, sys, time
import grpc.aio
import pytest

def connect():
    socket.socket().connect(("127.0.0.1", 9))

def ask_a_name_server_and_catch():
    with contextlib.suppress(OSError):
        socket.getaddrinfo("localhost", 80)

def serve():
    grpc.aio.server()

def start_a_process_and_catch():
    with contextlib.suppress(AssertionError):
        subprocess.run([sys.executable, "-c", ""])

def sleep():
    time.sleep(0.06)

def sleep_in_a_loop():
    asyncio.run(asyncio.sleep(0.06))

def cancel_a_long_sleep():
    async def soon():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
    asyncio.run(soon())

def write_a_file():
    import tempfile
    with tempfile.TemporaryFile() as file:
        file.write(b"x")

@pytest.mark.parametrize("act", [connect, serve, start_a_process_and_catch, sleep, sleep_in_a_loop])
def test_refused(act):
    act()

@pytest.mark.parametrize("act", [ask_a_name_server_and_catch, cancel_a_long_sleep, write_a_file])
def test_allowed(act):
    act()
"""


def test_network_processes_and_sleeps_are_refused_and_files_are_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # importing them all takes seconds
    pytester.makeconftest(GUARD.read_text("utf-8"))
    pytester.makepyfile(TESTS)
    done = pytester.runpytest_subprocess("-rA", "-p", "no:asyncio", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=6, failed=2, errors=5)
    for act in ("connect", "serve", "start_a_process_and_catch", "sleep", "sleep_in_a_loop"):
        done.stdout.fnmatch_lines([f"ERROR *::test_refused[[]{act}]*"])
