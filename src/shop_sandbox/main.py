"""The command `shop-sandbox`."""

from shop_sandbox import first

if __name__ == "__main__":
    first.begin()  # before the imports: a stop is heeded from here on

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import typer

from shop_sandbox.address import joined
from shop_sandbox.settings import SandboxSettings, SettingsError, from_environment

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The rest of the Shop, for development and tests."
)


def show_version(asked: bool) -> None:
    """Print it, and end."""
    if asked:
        from importlib import metadata

        typer.echo(f"shop-sandbox {metadata.version('shop-order')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What every command takes."""


@app.command()
def serve() -> None:
    """Goods, inventory, users, event inbox, Alipay simulator, until SIGTERM; settings: SHOP_SANDBOX_*."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    run(serve_until_stopped(settings()))


@app.command()
def demo() -> None:
    """The whole Shop in one process, with demo data, until Ctrl-C; RELOAD=1 follows changes."""
    if os.environ.get("RELOAD", "") not in ("", "0"):
        from shop_sandbox.reload import Following

        raise SystemExit(Following([sys.executable, "-m", "shop_sandbox.main", "demo"]).run())
    from shop_sandbox.demo import start

    start(settings())


@app.command()
def story() -> None:
    """Play the whole story on a Shop of its own through the public interfaces; DEMO_LANG=zh, en or both."""
    from shop_sandbox.story.play import play

    raise SystemExit(asyncio.run(unless_interrupted(play(os.environ.get("DEMO_LANG", "both")))))


async def unless_interrupted(work: Coroutine[Any, Any, int]) -> int:
    """Its exit code; INT and TERM end it with what it started, and are the exit code."""
    doing = asyncio.create_task(work)
    got: list[int] = []

    def interrupt(number: int) -> None:
        got.append(number)
        doing.cancel()

    for number in first.STOPS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        return await doing
    except asyncio.CancelledError:
        return first.BY_SIGNAL + got[0]


def settings() -> SandboxSettings:
    """The settings of the environment, or the end with one clear line and exit code 2."""
    try:
        return from_environment(os.environ)
    except SettingsError as error:
        fail(str(error))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run in uvloop where there is one; a taken port ends with one clear line and exit code 2."""
    try:
        if sys.platform == "win32":
            asyncio.run(work)
        else:
            import uvloop

            uvloop.run(work)
    except OSError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    typer.echo(f"shop-sandbox: {message}", err=True)
    raise typer.Exit(2)


async def serve_until_stopped(chosen: SandboxSettings) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. Raises PortTaken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in first.STOPS:
        loop.add_signal_handler(number, stop.set)
    # The servers take 0.2 s to import: `--help` and a refused setting need not wait for them.
    from shop_sandbox.server import Sandbox

    await asyncio.sleep(0)  # a signal that came meanwhile is told
    if not stop.is_set():
        async with Sandbox(chosen) as sandbox:
            typer.echo(
                f"shop-sandbox: neighbours on {joined(chosen.host, sandbox.grpc_port)}, "
                f"simulators and /shop on http://{joined(chosen.host, sandbox.http_port)}"
            )
            await stop.wait()
    # All is finished, threads may still end; closing the loop would put the system's handlers in place.
    signal.pthread_sigmask(signal.SIG_BLOCK, first.STOPS)
    for number in first.STOPS:
        loop.remove_signal_handler(number)
    first.heed(0)
    first.rest()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, first.STOPS)


def main() -> None:
    """The command line."""
    first.begin()
    # Read when gRPC is imported: its own complaint, as of a taken port, would stand beside our one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # A terminal that can't show Chinese gets question marks, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
