"""`shop-sandbox demo`, which `make run` starts: the whole Shop in one process, on embedded engines.

The only module of the sandbox that may start the product.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from shop_order.cmd import main as product
from shop_sandbox import welcome
from shop_sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from shop_order.cmd.app import App
    from shop_order.configs import Loaded, Settings
    from shop_sandbox.server import Sandbox

BUYERS = (7, 8)
ADMIN = 1
STOPPING = "\n正在停止：先处理完已接受的请求 … / stopping: what was accepted is finished first …"


def start(chosen: SandboxSettings) -> NoReturn:
    """Run until INT or TERM; the exit code. What refuses the start is one line and exit code 2."""
    point_to_sandbox(os.environ, chosen)
    found = product.loaded()
    if found.settings.app.env == "production":
        product.refuse("APP__ENV: make run is for dev and test: its tokens are signed with a development key")
    product.run(lambda: _serve_until_stopped(chosen, found))


async def _serve_until_stopped(chosen: SandboxSettings, loaded: Loaded) -> int:
    from shop_order.cmd.signals import Signals

    signals = Signals()
    # The servers take a second to import, which a refused setting need not wait for.
    from shop_order.cmd.app import App
    from shop_order.cmd.opening import open_log
    from shop_order.cmd.private import close_to_others
    from shop_order.cmd.serve import ensure_schema
    from shop_sandbox.server import Sandbox

    settings = loaded.settings
    chosen = beside(chosen, settings.data_dir, settings.server.grpc_port, settings.trace.url)
    if await signals.unless_stopped(ensure_schema(loaded)):
        logging = open_log(settings)
        try:
            close_to_others(settings)
            app = App(loaded)
            signals.reload_by(app.reload)
            async with Sandbox(chosen) as sandbox:
                if await signals.unless_stopped(app.start()):
                    typer.echo(welcome.text(_running(chosen, settings, app, sandbox)))
                    await signals.stop.wait()
                    typer.echo(STOPPING)
                    await app.stop()
        finally:
            logging.close()
    return signals.over()


def _running(chosen: SandboxSettings, settings: Settings, app: App, sandbox: Sandbox) -> welcome.Running:
    from shop_order.cmd.tokens import mint

    return welcome.Running(
        rest=f"http://{reachable(settings.server.host)}:{app.http_port}",
        grpc=f"{reachable(settings.server.host)}:{app.grpc_port}",
        sandbox_http=f"http://{reachable(chosen.host)}:{sandbox.http_port}",
        sandbox_grpc=f"{reachable(chosen.host)}:{sandbox.grpc_port}",
        data_dir=settings.data_dir,
        log_file=settings.log.filename or "",
        buyers={user: mint(settings, user=user) for user in BUYERS},
        admin=mint(settings, user=ADMIN, role="admin"),
    )


def reachable(host: str) -> str:
    """A host to connect to, for one to listen on."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to replace it
    return f"[{host}]" if ":" in host else host


def point_to_sandbox(environ: MutableMapping[str, str], chosen: SandboxSettings) -> None:
    """Let the order service find a sandbox on other ports; what somebody set already stays.

    The terminal is for people here: JSON lines go to the log file, unless LOG__STDOUT says otherwise.
    """
    environ.setdefault("SHOP_ORDER_LOG__STDOUT", "false")
    packaged, host = SandboxSettings(), reachable(chosen.host)
    if (host, chosen.grpc_port) != (packaged.host, packaged.grpc_port):
        for name in ("GOODS", "INVENTORY", "COUPONS", "USERS", "INBOXES"):
            environ.setdefault(f"SHOP_ORDER_NEIGHBOURS__{name}", f"{host}:{chosen.grpc_port}")
    if (host, chosen.http_port) != (packaged.host, packaged.http_port):
        gateway = f"http://{host}:{chosen.http_port}/alipay/gateway.do"
        environ.setdefault("SHOP_ORDER_PAY__ALIPAY__GATEWAY", gateway)


def beside(chosen: SandboxSettings, data_dir: str, grpc_port: int, trace: str) -> SandboxSettings:
    """The sandbox on the order service's data folder, port and collector, where nobody set others."""
    packaged = SandboxSettings()
    folder = Path(data_dir)
    return replace(
        chosen,
        data_dir=folder / "sandbox" if chosen.data_dir == packaged.data_dir else chosen.data_dir,
        keys_dir=folder / "dev" if chosen.keys_dir == packaged.keys_dir else chosen.keys_dir,
        order=f"127.0.0.1:{grpc_port}" if chosen.order == packaged.order else chosen.order,
        trace=trace if chosen.trace == packaged.trace else chosen.trace,
    )
