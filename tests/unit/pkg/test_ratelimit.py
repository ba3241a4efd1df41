import pytest

from shop_order.pkg.ratelimit import open_limiter


async def test_a_refused_call_costs_nothing_and_the_wait_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: now_s[0])
    limiter = open_limiter("memory://", max_keys=100)
    assert [await limiter.acquire("u", 10, 2) for _ in range(2)] == [0.0, 0.0]
    for _ in range(50):
        wait_s = await limiter.acquire("u", 10, 2)
        assert 0 < wait_s <= 0.1 + 1e-6
    now_s[0] += wait_s
    assert await limiter.acquire("u", 10, 2) == 0.0
    assert await limiter.acquire("u", 10, 2) > 0


async def test_rate_zero_is_off() -> None:
    limiter = open_limiter("memory://", max_keys=1)
    assert [await limiter.acquire("u", 0, 1) for _ in range(50)] == [0.0] * 50


async def test_keys_are_bounded_and_a_changed_rate_counts_on_the_same_key() -> None:
    limiter = open_limiter("memory://", max_keys=10)
    for number in range(1000):
        assert await limiter.acquire(f"u{number}", 1, 1) == 0.0
    assert await limiter.acquire("u999", 1, 1) > 0
    assert await limiter.acquire("u999", 2, 1) > 0
    assert await limiter.acquire("u0", 1, 1) == 0.0


def test_an_engine_that_is_not_built_is_refused() -> None:
    with pytest.raises(ValueError, match="abacus"):
        open_limiter("abacus://h", 10)
