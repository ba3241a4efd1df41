"""What the use cases need from outside, as protocols; the rooms `repository` and `gateway` offer it."""

from shop_order.domain.ports.channels import (
    Notice,
    PaymentChannel,
    Trade,
)
from shop_order.domain.ports.clock import (
    Clock,
)
from shop_order.domain.ports.history import (
    Archive,
    Audit,
    Backlog,
    Behind,
    Outbox,
)
from shop_order.domain.ports.neighbours import (
    Addresses,
    GoodsCatalogue,
    Inboxes,
    Lease,
    Leases,
    Stock,
)
from shop_order.domain.ports.orders import (
    COUNT_CAP,
    Carts,
    Cursor,
    Due,
    Key,
    KeyRecord,
    KeyTaken,
    NumberTaken,
    OnUnreadable,
    OrderFilter,
    OrderLookup,
    OrderPage,
    Orders,
    Standing,
    TradeNoTaken,
    always,
)
from shop_order.domain.ports.payments import (
    Payments,
)

__all__ = [
    "COUNT_CAP",
    "Addresses",
    "Archive",
    "Audit",
    "Backlog",
    "Behind",
    "Carts",
    "Clock",
    "Cursor",
    "Due",
    "GoodsCatalogue",
    "Inboxes",
    "Key",
    "KeyRecord",
    "KeyTaken",
    "Lease",
    "Leases",
    "Notice",
    "NumberTaken",
    "OnUnreadable",
    "OrderFilter",
    "OrderLookup",
    "OrderPage",
    "Orders",
    "Outbox",
    "PaymentChannel",
    "Payments",
    "Standing",
    "Stock",
    "Trade",
    "TradeNoTaken",
    "always",
]
