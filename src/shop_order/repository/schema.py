"""The schema's revision, and how a database gets there."""

from __future__ import annotations

from pathlib import Path

HEAD = "0002"
GUARDS = frozenset({"order_event_no_update", "order_event_no_delete", "order_event_no_second"})


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database behind a SQLAlchemy `url` to `revision`. Raises OSError if it can't be used.

    Imports Alembic, which a running server does not need: the server only compares HEAD.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", "shop_order:script/migrations")
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        # The driver begins no transaction for CREATE TABLE: a kill would leave half of the tables for good.
        sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            if revision == "base":
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sa.exc.DatabaseError as error:
        raise OSError(f"the order database can't be used: {error.orig}") from error
    finally:
        engine.dispose()
