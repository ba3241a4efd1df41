"""`make schema`, where SHOP_TEST_ENGINES names a MySQL 8: the tables of all migrations, as a script."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from shop_order.script.migrations import head
from tests.contract.servers import connected, drop, own_database
from tests.plugins.engines import available

SCRIPT = Path(str(files("shop_order.script") / "mysql" / "schema.sql"))
TABLE = re.compile(r"^CREATE TABLE `(?!alembic_version)(\w+)` .*?;\n", re.MULTILINE | re.DOTALL)
TRIGGERS = "CREATE TRIGGER order_event_no_update"
COLLATION = re.compile(r" (CHARACTER SET \w+ )?COLLATE[ =]utf8mb4_0900_bin")
END = "\n  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;\n"


def migrated_script(connection: Any, script: str) -> str:
    """The script with the tables that this database has; new ones come before the triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")  # names in backquotes
        cursor.execute("SHOW TABLES")
        there = {name for (name,) in cursor.fetchall()} - {"alembic_version"}
        made = {name: _create(cursor, name) for name in sorted(there)}
    known = TABLE.findall(script)
    script = TABLE.sub(lambda found: made.get(found[1], ""), script)
    new = "".join(f"{text}\n" for name, text in made.items() if name not in known)
    script = script.replace(TRIGGERS, new + TRIGGERS)
    script = re.sub(r"(?<=at revision )\d{4}", head(), script)
    return re.sub(r"(?<=VALUES \(')\d{4}", head(), script)


def _create(cursor: Any, table: str) -> str:
    cursor.execute(f"SHOW CREATE TABLE `{table}`")
    return COLLATION.sub("", cursor.fetchone()[1]) + END


def main() -> None:
    """Write it."""
    for url in available("mysql"):
        try:
            with connected(own_database(url)) as connection:
                if "MariaDB" not in connection.get_server_info():
                    SCRIPT.write_text(migrated_script(connection, SCRIPT.read_text("utf-8")), "utf-8")
                    return
        finally:
            drop(url)
    print("script/mysql/schema.sql stays as it is: SHOP_TEST_ENGINES names no MySQL 8 to make it on")


if __name__ == "__main__":
    main()
