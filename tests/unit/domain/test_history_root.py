"""The digest of a day is the same, however the database hands the events over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shop_order.domain.history_root import DayDigest, Leaf

LEAVES = [Leaf(id, f"S{id}", 1, bytes([id]) * 32) for id in (1, 2, 2, 3, 4)]
LEAVES[2] = replace(LEAVES[2], order_sn="S9")  # two with one id, which an index may tell in any order


def digest_of(*pages: list[Leaf]) -> tuple[bytes, int]:
    """Of these pages, of which the last one is not full."""
    digest = DayDigest(0)
    for number, page in enumerate(pages, start=1):
        digest.add(page, full=number < len(pages))
    return digest.value(), digest.events


def test_events_of_one_id_may_come_in_any_order() -> None:
    one, two, other, *rest = LEAVES
    assert digest_of([one, two, other, *rest]) == digest_of([one, other, two, *rest])


def test_of_a_full_page_those_with_the_last_id_come_with_the_next() -> None:
    one, two, other, *rest = LEAVES
    assert digest_of([one, two], [two, other, *rest]) == digest_of(LEAVES)
    with pytest.raises(ValueError, match="one id"):
        digest_of([two, other], [other, *rest])


@pytest.mark.parametrize("change", [{"id": 5}, {"order_sn": "S5"}, {"version": 2}, {"hash": b"x" * 32}])
def test_whatever_is_altered_in_an_event_alters_the_digest(change: dict[str, object]) -> None:
    *first, last = LEAVES
    assert digest_of([*first, replace(last, **change)]) != digest_of(LEAVES)  # type: ignore[arg-type]
