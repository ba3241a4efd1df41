"""`python -m deploy.stack.shop run|add|remove`: the service on the engines of the stack, behind nginx.

`run` is what `make run-stack` starts. Ports: instance n serves REST on 28100 + n and gRPC on 28200 + n.
"""

from __future__ import annotations

import sys

from shop_sandbox import first, welcome

if __name__ == "__main__":
    # Before the other imports: nothing has been started yet, so a stop signal can end the process at once.
    first.exit_on_stop_signals(0 if sys.argv[1:2] in ([], ["run"]) else None)

import argparse
import os
import shlex
import signal
import time
from urllib.parse import urlsplit

from deploy.stack import nginx
from deploy.stack.__main__ import ROOT, engine
from deploy.stack.instances import (
    DATABASES,
    GRPC,
    HTTP,
    MAX_INSTANCES,
    PUBLIC,
    RELAY_METRICS,
    SANDBOX_HTTP,
    StackShop,
)
from deploy.stack.processes import HOST, RUN, StackError, exclusive, say
from shop_sandbox.providers import PROVIDERS

DEFAULT_INSTANCES = 3
POLL_INTERVAL_S = 1.0


def greeting(shop: StackShop, count: int) -> str:
    """The text printed at the start: addresses, tokens and calls to paste."""
    from shop_order.cmd.cli.token import mint
    from shop_order.configs import load

    settings = load({**os.environ, **shop.environ}).settings
    buyer, admin = mint(settings, user=7), mint(settings, user=1, role="admin")
    ca = str(nginx.certificate(shop.root))
    (shop.folder / "env").write_text(
        "".join(f"export {key}={shlex.quote(value)}\n" for key, value in shop.environ.items())
    )
    instances = "\n".join(
        f"  instance {n}      REST http://{HOST}:{HTTP + n}   gRPC {HOST}:{GRPC + n}"
        for n in range(1, count + 1)
    )
    target = f"{HOST}:{nginx.TLS}"
    where = f"SHOP_STACK={shop.root} " if "SHOP_STACK" in os.environ else ""
    simulators = "\n".join(f"  {one.code:14}  http://{HOST}:{SANDBOX_HTTP}{one.page}" for one in PROVIDERS)
    return f"""
The Shop runs on {shop.database}, Redis, RocketMQ, MongoDB's protocol, Consul and Nacos        Ctrl-C to stop

  gateway         {PUBLIC}/api/v1   gRPC over TLS on the same port   (trust {ca})
  documents       {PUBLIC}/api/v1/docs
{instances}
  relay           metrics http://{HOST}:{RELAY_METRICS}/metrics
  goods           http://{HOST}:{SANDBOX_HTTP}/shop
{simulators}
  Consul          http://{urlsplit(engine("consul").URLS[0]).netloc}/ui
  logs            {shop.root / "log"}

add or remove an instance:     {where}{welcome.python()} -m deploy.stack.shop add | remove
commands of the service:       . {shop.folder / "env"}
                               .venv/bin/shop-order doctor | stats show | config history | token --user 8

tokens, valid for a day (buyer 7, admin 1)
  BUYER_7={buyer}
  ADMIN={admin}

a first curl: place an order

{welcome.curl(PUBLIC, buyer, ca)}

a first gRPC call: another order

{welcome.grpc_call(target, buyer, ca)}

the same with grpcurl, if you have it

{welcome.grpcurl(target, buyer, ca)}

"""


def main() -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(prog="deploy.stack.shop", description=__doc__)
    parser.add_argument("command", nargs="?", default="run", choices=("run", "add", "remove"))
    parser.add_argument(
        "--instances", type=int, default=DEFAULT_INSTANCES, choices=range(1, MAX_INSTANCES + 1)
    )
    parser.add_argument("--database", default=os.environ.get("DB", "mysql"), choices=DATABASES)
    chosen = parser.parse_args()
    shop = StackShop(ROOT, chosen.database)
    try:
        if chosen.command == "run":
            return _run(shop, chosen.instances)
        n = shop.add() if chosen.command == "add" else shop.remove()
        say(f"instance {n}: {'added' if chosen.command == 'add' else 'removed'}")
        return 0
    except StackError as failed:
        say(str(failed))
        return 1
    except KeyboardInterrupt:  # before anything was started
        return 0 if chosen.command == "run" else 1


def _run(shop: StackShop, count: int) -> int:
    """Run until INT or TERM. Raises StackError."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with INT ignored
        signal.signal(number, signal.default_int_handler)
    with exclusive(RUN, wait=False):
        try:
            shop.start(count)
            sys.stdout.write(greeting(shop, count))
            sys.stdout.flush()
            down: set[str] = set()
            while True:
                time.sleep(POLL_INTERVAL_S)
                down = shop.restart_dead(down)
        except KeyboardInterrupt:
            pass
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            say("stopping: finishing accepted requests first")
            shop.stop()
            say("the engines and nginx are still running; make stack-down stops them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
