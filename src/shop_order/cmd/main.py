"""The console script `shop-order`, and `python -m shop_order.cmd.main`."""

from __future__ import annotations

import os

from shop_order.cmd.run import startup


def main() -> None:
    """The command line."""
    startup.begin()  # before the other imports: a stop is heeded from here on
    # Read when gRPC is imported: its own complaint, as of a taken port, would stand beside our one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from shop_order.cmd.cli.root import app

    startup.imported()
    app()


if __name__ == "__main__":
    main()
