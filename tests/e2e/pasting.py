"""Takes commands out of texts for people, and runs them in a shell as if they had been pasted."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

WITHIN_S = 40.0

# For a machine without curl: the options that our texts use, and no others.
CURL = f"""#!{sys.executable}
import sys
import httpx
words, method, headers, body, url = iter(sys.argv[1:]), None, {{}}, None, ""
for word in words:
    if word == "-X":
        method = next(words)
    elif word == "-H":
        name, _, value = next(words).partition(": ")
        headers[name] = value
    elif word == "-d":
        body = next(words).encode()
    elif word != "-sS":
        url = word
method = method or ("GET" if body is None else "POST")
sys.stdout.write(httpx.request(method, url, headers=headers, content=body, trust_env=False).text)
"""


def block_after(text: str, first: str) -> str:
    """The paragraph whose first line begins so; a here-document may hold empty lines."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    end = "PY" if "<<'PY'" in lines[start] else ""
    stop = next(number for number in range(start + 1, len(lines)) if lines[number] == end)
    return "\n".join(lines[start : stop + 1])


async def paste(command: str, folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """What it prints. Raises AssertionError unless it ends well."""
    path = os.environ["PATH"]
    if shutil.which("curl") is None:
        tools = folder / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "curl").write_text(CURL)
        (tools / "curl").chmod(0o755)
        path = f"{tools}:{path}"
    own = {**os.environ, "PATH": path, "PYTHONUTF8": "1", "NO_PROXY": "*", **(environ or {})}
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-eu",
        "-c",
        command,
        cwd=folder,
        env=own,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 0, err.decode() + out.decode()
    return out.decode()
