"""Shared by MySQL and MariaDB: the service's user and database, and queries."""

from __future__ import annotations

from deploy.stack.processes import HOST

APP = "app:app"
PREPARE = (
    "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4",
    f"CREATE USER IF NOT EXISTS 'app'@'{HOST}' IDENTIFIED BY 'app'",
    # Tests create databases of their own.
    f"GRANT ALL ON `shop%`.* TO 'app'@'{HOST}'",
)


def answers(port: int) -> bool:
    """Whether the service's user can run a query."""
    import pymysql

    try:
        user, _, password = APP.partition(":")
        with pymysql.connect(host=HOST, port=port, user=user, password=password, connect_timeout=2) as one:
            one.cursor().execute("SELECT 1")
    except (pymysql.err.MySQLError, OSError):
        return False
    return True


def prepare(socket: str) -> bool:
    """Create the service's database and user, as root over the socket; False if it does not answer yet."""
    import pymysql

    try:
        with pymysql.connect(unix_socket=socket, user="root", connect_timeout=2) as connection:
            for statement in PREPARE:
                connection.cursor().execute(statement)
    except (pymysql.err.OperationalError, OSError):
        return False
    return True
