"""What the use cases need from outside, as protocols; `repository` and `gateway` implement them."""

from collections.abc import Callable

from shop_order.domain.ports.channels import (
    Device,
    Notice,
    NoticeReply,
    NoticeRoute,
    OpenRequest,
    Payer,
    PaymentChannel,
    RefundResult,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.ports.history import (
    Archive,
    Audit,
    Backlog,
    Outbox,
    OverdueWork,
)
from shop_order.domain.ports.neighbours import (
    AddressBook,
    EventPublisher,
    GoodsCatalogue,
    Stock,
    StockLease,
    StockLeases,
    Wallet,
    WalletEntry,
    WalletLedger,
)
from shop_order.domain.ports.orders import (
    COUNT_CAP,
    MAX_PLACING_MS,
    MAX_TOMBSTONES_PER_MINUTE,
    TOMBSTONE_LIFETIME_MS,
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
    OrderStanding,
    Payments,
    TradeNoTaken,
)
from shop_order.domain.ports.refunds import (
    RefundFilter,
    RefundPage,
    RefundPosition,
    Refunds,
)
from shop_order.domain.ports.upkeep import (
    BillNotOut,
    BillSource,
    BillUnusable,
    Feed,
    Fence,
    LeaseLost,
    LinesRead,
    OrderLog,
    Reconciliations,
    RootConflict,
    RootKeys,
    Roots,
    Witness,
    WitnessUnavailable,
)

Clock = Callable[[], int]  # epoch milliseconds
