"""The command `shop-sandbox`."""

from shop_sandbox import first

if __name__ == "__main__":
    first.prepare_process()  # before the imports, so that stop signals work from here on

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import typer

from shop_sandbox.address import host_port
from shop_sandbox.settings import SandboxSettings, SettingsError, from_environment

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The rest of the Shop, for development and tests."
)


def show_version(asked: bool) -> None:
    """Print the version and exit."""
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
    """Options of all commands."""


@app.command()
def serve() -> None:
    """Serve the neighbours and the payment simulators until SIGTERM; settings: SHOP_SANDBOX_*."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    run(serve_until_stopped(settings()))


@app.command()
def demo() -> None:
    """Run the whole Shop in one process with demo data until Ctrl-C; RELOAD=1 restarts it on changes."""
    if os.environ.get("RELOAD", "") not in ("", "0"):
        from shop_sandbox.reload import Reloader

        raise SystemExit(Reloader([sys.executable, "-m", "shop_sandbox.main", "demo"]).run())
    from shop_sandbox.demo import start

    start(settings())


@app.command()
def story() -> None:
    """Play the demo story on a temporary Shop through its public interfaces; DEMO_LANG=zh, en or both."""
    from shop_sandbox.story.play import play

    raise SystemExit(asyncio.run(unless_interrupted(play(os.environ.get("DEMO_LANG", "both")))))


async def unless_interrupted(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` and return its exit code; INT and TERM cancel it and become the exit code."""
    doing = asyncio.create_task(work)
    got: list[int] = []

    def interrupt(number: int) -> None:
        got.append(number)
        doing.cancel()

    for number in first.STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        return await doing
    except asyncio.CancelledError:
        return first.SIGNAL_EXIT_BASE + got[0]


def settings() -> SandboxSettings:
    """The settings from the environment; a bad one prints one line and exits with code 2."""
    try:
        return from_environment(os.environ)
    except SettingsError as error:
        fail(str(error))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run with uvloop where available; a taken port prints one line and exits with code 2."""
    try:
        if sys.platform == "win32":
            asyncio.run(work)
        else:
            import uvloop

            uvloop.run(work)
    except OSError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Print one line to standard error and exit with code 2."""
    typer.echo(f"shop-sandbox: {message}", err=True)
    raise typer.Exit(2)


async def serve_until_stopped(chosen: SandboxSettings) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. Raises PortTaken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in first.STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    # The servers take 0.2 s to import: `--help` and a refused setting should not wait for that.
    from shop_sandbox.server import Sandbox

    await asyncio.sleep(0)  # deliver a signal that arrived meanwhile
    if not stop.is_set():
        async with Sandbox(chosen) as sandbox:
            typer.echo(
                f"shop-sandbox: neighbours on {host_port(chosen.host, sandbox.grpc_port)}, "
                f"simulators and /shop on http://{host_port(chosen.host, sandbox.http_port)}"
            )
            await stop.wait()
    # Threads may still be ending; closing the loop would restore the default signal handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, first.STOP_SIGNALS)
    for number in first.STOP_SIGNALS:
        loop.remove_signal_handler(number)
    first.exit_on_stop_signals(0)
    first.ignore_stop_signals_at_exit()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, first.STOP_SIGNALS)


def main() -> None:
    """The command line."""
    first.prepare_process()
    # gRPC reads this at import: its own error lines, as for a taken port, would appear beside ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # On a terminal that can't show Chinese, print question marks instead of failing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
