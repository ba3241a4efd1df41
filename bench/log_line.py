"""`python -m bench.log_line`: the CPU time of a log line, in the calling thread and in the whole process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from shop_order.pkg.log import LogConfig, Logging, bind_fields, get_logger

BATCHES, LINES = 40, 500
PAUSE_S = 0.06  # lets the writer keep up, so that no line is dropped


def main() -> None:
    """Write lines like those of a request to a file in a temporary folder."""
    log = get_logger("shop_order.bench")
    bind_fields(request_id="0123456789abcdef0123456789abcdef", method="CreateOrder", caller="user")
    with tempfile.TemporaryDirectory() as folder:
        opened = Logging(LogConfig(filename=str(Path(folder, "order.log")), stdout=False))
        caller_s, process_s = 0.0, time.process_time()
        for _ in range(BATCHES):
            began_s = time.thread_time()
            for _ in range(LINES):
                log.info(
                    "request", order_sn="1" * 27, user_id=4711, code="OK", ms=1.25, peer="127.0.0.1:55555"
                )
            caller_s += time.thread_time() - began_s
            time.sleep(PAUSE_S)
        process_s = time.process_time() - process_s
        opened.close()
    lines = BATCHES * LINES
    print(f"caller {caller_s / lines * 1e6:.1f} µs, process {process_s / lines * 1e6:.1f} µs a line")


if __name__ == "__main__":
    main()
