"""`shop-sandbox demo`, which `make run` starts: the whole Shop in one process, on embedded engines.

This is the only sandbox module that may start the product.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from shop_order.cmd.cli import command as product
from shop_sandbox import welcome
from shop_sandbox.address import connectable, host_port
from shop_sandbox.providers import gateway_settings
from shop_sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from shop_order.cmd.run.app import App
    from shop_order.configs import Loaded, Settings
    from shop_sandbox.server import Sandbox

BUYERS = (7, 8)
ADMIN = 1
STOPPING = "\n正在停止：先处理完已接受的请求…… / stopping: finishing accepted requests first …"


def start(chosen: SandboxSettings) -> NoReturn:
    """Run until INT or TERM. A refused start prints one line and exits with code 2."""
    point_to_sandbox(os.environ, chosen)
    found = product.require_usable(product.loaded())
    if found.settings.app.env == "production":
        product.refuse("APP__ENV: make run is for dev and test: its tokens are signed with a development key")
    product.run(lambda: _serve_until_stopped(chosen, found))


async def _serve_until_stopped(chosen: SandboxSettings, loaded: Loaded) -> int:
    from shop_order.cmd.run.signals import Signals

    signals = Signals()
    # The servers take a second to import: report a refused setting before that.
    from shop_order.cmd.run.app import App
    from shop_order.cmd.run.bootstrap import logged
    from shop_order.cmd.run.serve import ensure_schema
    from shop_order.configs.dev_wiring import published
    from shop_sandbox.server import Sandbox

    settings = loaded.settings
    order = host_port(connectable(settings.server.host), settings.server.grpc_port)
    chosen = with_order_service(chosen, settings.data_dir, order, settings.trace.url)
    if await signals.unless_stopped(ensure_schema(loaded)):
        with logged(settings):
            app = App(loaded)
            signals.reload_by(app.reload)
            async with Sandbox(chosen) as sandbox:
                if await signals.unless_stopped(app.start()):
                    with published(settings):
                        typer.echo(greeting(settings, chosen, app, sandbox))
                        await signals.stop.wait()
                    typer.echo(STOPPING)
                    await app.stop()
    return signals.finish()


def greeting(settings: Settings, chosen: SandboxSettings, app: App, sandbox: Sandbox) -> str:
    """The text printed at the start: addresses, tokens and first calls."""
    from shop_order.cmd.cli.token import mint

    host, there = connectable(settings.server.host), connectable(chosen.host)
    return welcome.text(
        welcome.Running(
            rest=f"http://{host_port(host, app.http_port)}",
            grpc=host_port(host, app.grpc_port),
            sandbox_http=f"http://{host_port(there, sandbox.http_port)}",
            sandbox_grpc=host_port(there, sandbox.grpc_port),
            data_dir=settings.data_dir,
            log_file=settings.log.filename or "",
            buyers={user: mint(settings, user=user) for user in BUYERS},
            admin=mint(settings, user=ADMIN, role="admin"),
        )
    )


def point_to_sandbox(environ: MutableMapping[str, str], chosen: SandboxSettings) -> None:
    """Point the order service at a sandbox on other ports; settings that are present win.

    Keep JSON log lines off the terminal, unless LOG__STDOUT says otherwise.
    """
    environ.setdefault("SHOP_ORDER_LOG__STDOUT", "false")
    packaged, host = SandboxSettings(), connectable(chosen.host)
    if (host, chosen.grpc_port) != (packaged.host, packaged.grpc_port):
        for name in ("GOODS", "INVENTORY", "USERS", "INBOXES"):
            environ.setdefault(f"SHOP_ORDER_NEIGHBOURS__{name}", host_port(host, chosen.grpc_port))
    if (host, chosen.http_port) != (packaged.host, packaged.http_port):
        for name, url in gateway_settings(f"http://{host_port(host, chosen.http_port)}").items():
            environ.setdefault(f"SHOP_ORDER_{name}", url)


def with_order_service(chosen: SandboxSettings, data_dir: str, order: str, trace: str) -> SandboxSettings:
    """The settings with the order service's data folder, address and collector instead of defaults."""
    packaged = SandboxSettings()
    folder = Path(data_dir)
    return replace(
        chosen,
        data_dir=folder / "sandbox" if chosen.data_dir == packaged.data_dir else chosen.data_dir,
        keys_dir=folder / "dev" if chosen.keys_dir == packaged.keys_dir else chosen.keys_dir,
        order=order if chosen.order == packaged.order else chosen.order,
        trace=trace if chosen.trace == packaged.trace else chosen.trace,
    )
