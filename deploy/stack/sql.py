"""What MySQL and MariaDB share: the service's user and database, and asking in their own protocol."""

from __future__ import annotations

from deploy.stack.processes import HOST

APP = "app:app"
PREPARE = (
    "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4",
    f"CREATE USER IF NOT EXISTS 'app'@'{HOST}' IDENTIFIED BY 'app'",
    # Tests make databases of their own beside it.
    f"GRANT ALL ON `shop%`.* TO 'app'@'{HOST}'",
)


def answers(port: int) -> bool:
    """Whether a query of the service's user is answered."""
    import pymysql

    try:
        user, _, password = APP.partition(":")
        with pymysql.connect(host=HOST, port=port, user=user, password=password, connect_timeout=2) as one:
            one.cursor().execute("SELECT 1")
    except (pymysql.err.MySQLError, OSError):
        return False
    return True


def prepare(socket: str) -> bool:
    """Make the database and the user of the service, as root by the socket; False if nobody answers yet."""
    import pymysql

    try:
        with pymysql.connect(unix_socket=socket, user="root", connect_timeout=2) as connection:
            for statement in PREPARE:
                connection.cursor().execute(statement)
    except (pymysql.err.OperationalError, OSError):
        return False
    return True
