"""`shop-order config`: the settings and their origins, their history, and rollback.

With CONFIG__URL=nacos://, history, diff and rollback use Nacos' history; otherwise the order database's.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from shop_order.cmd.cli.command import FOUND, load_settings, pluralize, refusing
from shop_order.configs import ConfigError, load, mask, show
from shop_order.configs.engines import sqlite_path
from shop_order.configs.history import Records, UnknownEntry, content_of, entries, plan, write
from shop_order.configs.load import config_url
from shop_order.configs.production import missing_in_production, wrong_in_production
from shop_order.configs.sources import open_source
from shop_order.configs.tree import ENV_PREFIX
from shop_order.pkg.url import mask_urls

if TYPE_CHECKING:
    from shop_order.configs.sources.nacos import NacosSource, Version

MAX_ID = 2**63 - 1  # of a database
OPERATIONS = {"I": "published by", "U": "changed by", "D": "removed by"}
config_app = typer.Typer(no_args_is_help=True, help="The configuration and its history.")


@config_app.command("show")
def show_command(
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Print keys and passwords instead of ***.")
    ] = False,
) -> None:
    """Print every setting with its value and where the value came from."""
    typer.echo(show(load_settings(), secrets=secrets), nl=False)


@config_app.command("check")
def check_command() -> None:
    """Check whether the service would start in production, whatever APP__ENV is.

    Exit code 0: it would. 1: it would not, and each problem is printed. 2: the settings can't be read.
    """
    from shop_order.cmd.run.preflight import channel_problems, file_problems, is_off

    with refusing():
        found = load({**os.environ, f"{ENV_PREFIX}APP__ENV": "production"}, complete=False)
        settings = found.settings
        wrong = [f"{key}: is not set" for key in missing_in_production(settings)]
        wrong += [*wrong_in_production(settings), *file_problems(settings)]
    for text in wrong:
        typer.echo(f"settings: {mask_urls(text)}")
    channels = channel_problems(settings)
    for channel, texts in channels.items():
        off = is_off(settings, channel)
        for text in texts or ["off: not configured, and not offered to buyers" if off else "ready"]:
            typer.echo(f"{channel}: {text}")
    for key in found.unused:
        typer.echo(f"note: {key} is not used in this version")
    for text in found.renamed:
        typer.echo(f"note: {text}")
    count = len(wrong) + sum(map(len, channels.values()))
    typer.echo(
        f"production would not start: {pluralize(count, 'problem')}" if count else "production would start"
    )
    raise typer.Exit(FOUND if count else 0)


@config_app.command("history")
def history_command(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many entries, the newest first.")] = 20,
) -> None:
    """List what was published in Nacos, or the configurations this service was started or reloaded with."""
    with refusing():
        if (published := _nacos()) is not None:
            for version in published.history(limit):
                digest = (
                    "removed" if version.content is None else sha256(version.content.encode()).hexdigest()
                )
                by = f"{OPERATIONS[version.operation]} {version.by}"
                _print_entry(version.id, version.created_ms, digest, by)
            return
        with _history() as connection:
            for entry in entries(connection, limit):
                _print_entry(entry.id, entry.created_ms, entry.digest, entry.source)


def _print_entry(id: int, created_ms: int, digest: str, origin: str) -> None:
    at = datetime.fromtimestamp(created_ms / 1000, UTC).isoformat(timespec="seconds")
    typer.echo(f"{id:>5}  {at}  {digest[:12]:12}  {origin}")


@config_app.command("diff")
def diff_command(
    older: Annotated[
        int, typer.Argument(min=1, max=MAX_ID, metavar="A", help="Number of an entry of `history`.")
    ],
    newer: Annotated[int, typer.Argument(min=1, max=MAX_ID, metavar="B", help="Number of another entry.")],
) -> None:
    """Show what changed from entry A to entry B. Secrets are masked, so a changed secret does not show."""
    with refusing():
        texts = [text.splitlines() for text in _contents(older, newer)]
    for line in difflib.unified_diff(
        texts[0], texts[1], f"entry {older}", f"entry {newer}", lineterm="", n=1
    ):
        typer.echo(line)


@config_app.command("rollback")
def rollback_command(
    number: Annotated[
        int, typer.Argument(min=1, max=MAX_ID, metavar="N", help="Number of an entry of `history`.")
    ],
) -> None:
    """Restore entry N: with Nacos at once for every instance, otherwise at the next start or SIGHUP.

    With Nacos, the document of entry N is published again, unless the service could not start with it or
    the live document has changed in the meantime.
    Without Nacos, the differences between entry N and the current documents are written to
    {DATA_DIR}/config/override.yaml, which overrides all documents but not environment variables.
    Secrets are not stored and keep their current values. Settings fixed by an environment variable are
    listed. Nothing is written if the service could not start with the result.
    """
    with refusing():
        if (published := _nacos()) is not None:
            versions = published.history()
            document = _published(versions, number)
            load(os.environ, given={published.kind: document}, strict=True)
            published.publish(document, instead_of=versions[0].content)
            typer.echo(f"published entry {number} again as {published.identity}")
            return
        with _history() as connection:
            content = content_of(connection, number)
        rollback = plan(content, os.environ)
        write(rollback)
    if rollback.changes:
        typer.echo(f"entry {number} applies from the next start or reload on: {', '.join(rollback.changes)}")
    else:
        typer.echo(f"the documents already match entry {number}; nothing is overridden")
    if rollback.fixed_by_environment:
        names = ", ".join(f"SHOP_ORDER_{key}" for key in rollback.fixed_by_environment)
        typer.echo(f"still set by the environment: {names}", err=True)


def _nacos() -> "NacosSource | None":
    source = open_source(config_url(os.environ))
    # By its kind: importing the class would slow down every other command.
    return cast("NacosSource", source) if source.kind == "nacos" else None


def _published(versions: "Sequence[Version]", number: int) -> str:
    """Return what an entry of Nacos' history published. Raises UnknownEntry."""
    for version in versions:
        if version.id == number:
            if version.content is None:
                raise UnknownEntry(f"entry {number} removed the document")
            return version.content
    raise UnknownEntry(f"the history has no entry {number}")


def _contents(*numbers: int) -> list[str]:
    if (published := _nacos()) is not None:
        versions = published.history()
        return [mask(f"entry {n}", _published(versions, n)) for n in numbers]
    with _history() as connection:
        return [content_of(connection, number) for number in numbers]


@contextmanager
def _history() -> Iterator[Records]:
    from shop_order.repository.history import HistoryUnreadable, open_history

    # Without the override: an invalid one must not prevent a rollback.
    url = load(os.environ, override="").settings.db.url
    if url.startswith("sqlite:") and not (file := Path(sqlite_path(url)).resolve()).is_file():
        raise ConfigError(f"there is no history yet: the order database {file} does not exist")
    try:
        with open_history(url, writes=False) as records:
            yield records
    except HistoryUnreadable as error:
        raise ConfigError(
            f"can't read the history: {error} (`shop-order migrate` creates its table)"
        ) from error
