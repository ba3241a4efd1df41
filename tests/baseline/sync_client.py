"""`make proto`: generates the client without an event loop from the one with it."""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "src" / "shop_order" / "api" / "client"
SOURCE = CLIENT / "order_client.py"
TARGET = CLIENT / "sync_order_client.py"
HEADER = "# Generated from order_client.py by `make proto`. Do not edit.\n"
# Applied in this order to the whole text.
REPLACEMENTS = (
    (r"^import asyncio\n", ""),
    (r"^import grpc\.aio\n", ""),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bgrpc\.aio\.AioRpcError\b", "grpc.RpcError"),
    (r"\bgrpc\.aio\.ClientInterceptor\b", "grpc.UnaryUnaryClientInterceptor"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\bOrderClient\b", "SyncOrderClient"),
    (r"\bLoggingInterceptor\b", "SyncLoggingInterceptor"),
    (r"\bnew_order_client\b", "new_sync_order_client"),
    (r"\bopen_channel\b", "open_sync_channel"),
    (r"\bwith an event loop\b", "without an event loop"),
)


def generated() -> str:
    """The formatted text of the synchronous client."""
    text = SOURCE.read_text("utf-8")
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(ruff, input=HEADER + text, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    TARGET.write_text(generated(), "utf-8")
