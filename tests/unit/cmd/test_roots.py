"""Under which name a database's daily roots are told."""

import pytest

from shop_order.cmd.wiring.roots import database


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://app:secret@db.example:3306/shop?ssl-ca=/ca.pem", "shop@db.example:3306"),
        ("mysql://app:se%40cret@[::1]:3307/shop", "shop@[::1]:3307"),
        ("sqlite:////var/lib/shop/order.db", "order.db"),
    ],
)
def test_databases_of_one_name_on_two_servers_keep_their_roots_apart(url: str, told: str) -> None:
    assert database(url) == told
