"""Times on the wire."""

from __future__ import annotations

import random
from datetime import datetime

from shop_order.web.dto.fields import rfc3339, time_ms


def test_times_are_told_to_the_millisecond_in_china() -> None:
    assert rfc3339(0) == ""
    assert rfc3339(1) == "1970-01-01T08:00:00.001+08:00"
    assert rfc3339(1_795_412_759_999) == "2026-11-23T13:45:59.999+08:00"
    assert rfc3339(1_795_412_760_000) == "2026-11-23T13:46:00.000+08:00"


def test_what_is_told_is_understood_again() -> None:
    chance = random.Random(11)
    for ms in (chance.randrange(1, 4_102_444_800_000) for _ in range(1000)):
        assert round(datetime.fromisoformat(rfc3339(ms)).timestamp() * 1000) == ms
    assert time_ms("at", rfc3339(1_795_412_759_999)) == 1_795_412_759_999
