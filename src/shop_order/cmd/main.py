"""The console script `shop-order`, and `python -m shop_order.cmd.main`."""

from __future__ import annotations

import os

from shop_order.cmd.run import startup


def main() -> None:
    """The command line."""
    startup.prepare()  # before the other imports: signals are handled from here on
    # Read when gRPC is imported: it would log errors, such as a taken port, beside our message.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from shop_order.cmd.cli.root import app

    startup.imports_done()
    app()


if __name__ == "__main__":
    main()
