"""What the suite leaves out on TiDB, and why; everything else is the same there."""

from __future__ import annotations

_ITS_OWN = "it starts MySQL or MariaDB of its own"
_NO_TRIGGERS = "TiDB has no triggers: there the chain of hashes tells what was changed"
LEFT_OUT = {
    "test_nothing_changes_what_happened": _NO_TRIGGERS,
    "test_a_schema_that_is_not_ours_ends_the_start[DROP TRIGGER order_event_no_update]": _NO_TRIGGERS,
    "test_a_schema_that_is_not_ours_ends_the_start[DROP TRIGGER order_event_no_delete]": _NO_TRIGGERS,
    "test_connections_that_are_killed_under_load_cost_no_order": "KILL may end the whole process",
    "test_a_server_that_hangs_is_given_up_and_comes_back": "LOCK TABLES does nothing",
    "test_the_script_makes_what_the_migrations_make": "it is for MySQL and MariaDB; here `migrate` makes all",
    "test_every_statement_of_the_whole_run_goes_by_an_index": "EXPLAIN speaks another language",
    "test_a_server_that_is_killed_under_load_loses_nothing": _ITS_OWN,
    "test_orders_are_stored_over_tls": _ITS_OWN,
    "test_a_database_nobody_vouches_for_is_not_used": _ITS_OWN,
    "test_the_name_in_the_certificate_counts_unless_told_otherwise": _ITS_OWN,
}


def left_out(name: str, url: str) -> bool:
    """Whether a test of this name, as pytest gives it, is in the list; the server's URL is no part of it."""
    bare = name.replace(f"{url}-", "").replace(f"-{url}", "").replace(f"[{url}]", "")
    return bare in LEFT_OUT or bare.partition("[")[0] in LEFT_OUT
