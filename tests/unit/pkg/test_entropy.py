"""Random numbers in blocks."""

import os
from collections import Counter

from shop_order.pkg.ids import Entropy


def test_no_byte_is_given_out_twice_and_none_is_left_out_within_a_block() -> None:
    blocks = [os.urandom(4096) for _ in range(2)]
    served = iter(blocks)
    entropy = Entropy(lambda size: next(served))
    assert b"".join(entropy.take(512) for _ in range(16)) == b"".join(blocks)


def test_a_block_that_is_too_short_for_the_next_number_is_left() -> None:
    calls: list[int] = []

    def source(size: int) -> bytes:
        calls.append(size)
        return bytes(size)

    entropy = Entropy(source)
    entropy.take(4000)
    assert len(entropy.take(100)) == 100
    assert calls == [4096, 4096]


def test_numbers_stay_below_the_limit_and_reach_every_value() -> None:
    entropy = Entropy()
    seen = Counter(entropy.below(10) for _ in range(5000))
    assert set(seen) == set(range(10))
    assert max(seen.values()) < 2 * min(seen.values())


def test_a_draw_beyond_the_limit_is_drawn_again_so_that_no_value_is_likelier() -> None:
    served = iter([b"\xff\x30" + bytes(4094)])
    assert Entropy(lambda size: next(served)).below(10) == 3


def test_the_range_of_order_numbers_is_used_whole() -> None:
    entropy = Entropy()
    drawn = [entropy.below(10**14) for _ in range(200)]
    assert all(0 <= one < 10**14 for one in drawn)
    assert max(drawn) > 9 * 10**13
    assert min(drawn) < 10**13
