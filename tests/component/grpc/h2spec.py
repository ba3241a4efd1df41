"""`python -m tests.component.grpc.h2spec`: both transports against the conformance suite of HTTP/2."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from deploy.stack import golang
from deploy.stack.__main__ import ROOT
from tests.component.grpc import stubs
from tests.component.grpc.stubs import World

PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec"
SOURCE = Path(golang.__file__).with_name("h2spec")
MAX_FAILED = {"grpcio": 92, "native": 4}
"""Of 145 cases. grpcio resets what is no gRPC call; the suite waits for an answer. Some depend on timing."""


async def failed(binary: Path, transport: str) -> tuple[int, frozenset[str]]:
    """How many cases there are, and which failed."""
    stubs.TRANSPORT = transport
    server = World().server()
    port = await server.start()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = (str(binary), "-h", "127.0.0.1", "-p", str(port), "-j", str(report), "-o", "1")
        running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        await running.wait()
        cases = list(xml.parse(report).getroot().iter("testcase"))
    await server.stop(0)
    bad = (case for case in cases if case.find("failure") is not None or case.find("error") is not None)
    return len(cases), frozenset(f"{case.get('package')}: {case.get('classname')}" for case in bad)


def main() -> int:
    """The exit code: 1 if more fails than is known."""
    binary = ROOT / "bin" / "h2spec"
    golang.build(ROOT, binary, PACKAGE, SOURCE)
    code = 0
    for transport, known in MAX_FAILED.items():
        cases, bad = asyncio.run(failed(binary, transport))
        print(f"{transport}: {len(bad)} of {cases} cases failed, {known} are known")
        if len(bad) > known or not cases:
            print(*sorted(bad), sep="\n  ")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
