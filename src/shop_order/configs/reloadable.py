"""The settings a running service takes over at a reload; all others wait for a restart."""

from shop_order.configs.settings import CHANNEL_NAMES

RELOADABLE: frozenset[tuple[str, ...]] = frozenset(
    {
        ("log", "level"),
        ("app", "shop_name"),
        ("server", "deadline_s"),
        ("neighbours", "timeout_s"),
        ("limit", "unpaid_orders"),
        ("limit", "user_rate"),
        ("limit", "user_burst"),
        ("limit", "global_rate"),
        ("limit", "global_burst"),
        ("limit", "grpc_calls"),
        ("limit", "grpc_address_calls"),
        ("limit", "grpc_streams"),
        ("limit", "grpc_address_streams"),
        ("limit", "grpc_address_connections"),
        ("cache", "timeout_s"),
        ("cache", "order_ttl_s"),
        ("cache", "absent_ttl_s"),
        ("cache", "goods_ttl_s"),
        ("order", "pay_timeout_s"),
        ("order", "auto_confirm_s"),
        ("order", "scan_interval_s"),
        ("order", "archive_after_days"),
        ("oplog", "keep_days"),
        ("pricing", "freight_fen"),
        ("pricing", "free_freight_from_fen"),
        ("pricing", "province_freight_fen"),
        ("pay", "return_urls"),
        ("pay", "callback_allow"),
        *(("pay", name, "timeout_s") for name in CHANNEL_NAMES),
    }
)
