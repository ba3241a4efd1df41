"""Published names: the problems of errors, and the dependencies that can be unavailable.

Callers read them as `details.problem` and `details.dependency`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

# Problems of a field. Their texts and parameters: web/texts/en.yaml and zh.yaml.
Problem = Literal[
    "cart_full",
    "contains_ampersand",
    "control_characters",
    "differs_from_metadata",
    "duplicate",
    "duplicate_key",
    "expired_token",
    "foreign_cursor",
    "goods_id_or_id",
    "invalid",
    "invalid_http",
    "invalid_json",
    "invisible_characters",
    "malformed",
    "must_be_empty",
    "not_a_boolean",
    "not_a_date",
    "not_a_form",
    "not_a_phone",
    "not_a_refund_sn",
    "not_a_string",
    "not_a_time",
    "not_a_url",
    "not_allowed_url",
    "not_an_array",
    "not_an_id",
    "not_an_integer",
    "not_an_object",
    "not_an_order_sn",
    "not_one_of",
    "not_supported",
    "one_of_two",
    "other_line",
    "out_of_range",
    "range_too_long",
    "required",
    "sent_twice",
    "surrounding_spaces",
    "too_early",
    "too_large",
    "too_late",
    "too_long",
    "too_many",
    "too_many_bytes",
    "too_many_headers",
    "too_many_of_one_goods",
    "too_many_parameters",
    "too_small",
    "total_too_large",
    "unknown_charset",
    "unknown_field",
    "unreadable",
    "year_out_of_range",
]

# Dependencies that can be unavailable. Their display names are in the tables of texts.
Dependency = Literal[
    "event_inbox",
    "goods_service",
    "inventory_service",
    "message_broker",
    "order_database",
    "order_log",
    "payment_provider",
    "token_keys",
    "user_service",
    "worker_id",
]

# Wanted status -> current status -> problem.
_TRANSITION_PROBLEMS: Mapping[str, Mapping[str, str]] = {
    "PENDING": dict.fromkeys(("PENDING", "PAID", "SHIPPED", "COMPLETED", "CANCELLED"), "set_by_payment"),
    "PAID": {
        "PENDING": "set_by_payment",
        **dict.fromkeys(("PAID", "SHIPPED", "COMPLETED"), "already_paid"),
        "CANCELLED": "cancelled",
    },
    "SHIPPED": {
        "PENDING": "not_paid",
        "SHIPPED": "already_shipped",
        "COMPLETED": "already_completed",
        "CANCELLED": "cancelled",
    },
    "COMPLETED": {"PENDING": "not_paid", "PAID": "not_shipped", "CANCELLED": "cancelled"},
    "CANCELLED": {"SHIPPED": "too_late_to_cancel", "COMPLETED": "too_late_to_cancel"},
}


def transition_problem(now: str, to: str) -> str:
    """The problem of a transition that the status tables do not allow."""
    return _TRANSITION_PROBLEMS.get(to, {}).get(now, "other_state")
