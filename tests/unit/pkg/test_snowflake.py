import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.ids import EPOCH_MS, MAX_WORKER, Snowflakes


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300), st.integers(0, MAX_WORKER))
def test_ids_only_grow_however_the_clock_jumps(clock: list[int], worker: int) -> None:
    times = iter(clock)
    ids = Snowflakes(lambda: EPOCH_MS + next(times), worker)
    made = [ids.next_id() for _ in clock]
    assert made == sorted(set(made))
    assert {i >> 12 & MAX_WORKER for i in made} == {worker}


def test_a_standing_clock_outlasts_its_sequence() -> None:
    ids = Snowflakes(lambda: EPOCH_MS + 1, worker=3)
    made = [ids.next_id() for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert made == sorted(made)


def test_a_restart_with_an_older_clock_continues_above() -> None:
    last = Snowflakes(lambda: EPOCH_MS + 1000, worker=1).next_id()
    assert Snowflakes(lambda: EPOCH_MS + 10, worker=1, after=last).next_id() > last


def test_two_workers_never_meet() -> None:
    one, two = (Snowflakes(lambda: EPOCH_MS + 7, worker) for worker in (1, 2))
    assert not {one.next_id() for _ in range(5000)} & {two.next_id() for _ in range(5000)}


def test_the_id_fits_a_signed_column_and_tells_its_time() -> None:
    newest = Snowflakes(lambda: EPOCH_MS + (1 << 41) - 1, MAX_WORKER).next_id()
    assert newest < 1 << 63
    assert newest >> 22 == (1 << 41) - 1


def test_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="worker"):
        Snowflakes(lambda: 0, MAX_WORKER + 1)
    with pytest.raises(OverflowError):
        Snowflakes(lambda: EPOCH_MS + (1 << 41), 0).next_id()
