"""A list and a set on disk: the same as in memory, however long."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg import spool
from shop_order.pkg.spool import DiskGroups, DiskList, DiskSet

texts = st.text(max_size=5)
rows = st.lists(st.tuples(texts, st.integers(-(2**62), 2**62)), max_size=30)


@given(rows, st.integers(-40, 40), st.integers(-40, 40))
def test_a_list_is_a_list(all_: list[tuple[str, int]], begin: int, end: int) -> None:
    on_disk = DiskList(tuple, 2)
    for row in all_:
        on_disk.append(row)
    assert (len(on_disk), list(on_disk)) == (len(all_), all_)
    assert on_disk[begin:end] == all_[begin:end]
    assert on_disk[:] == all_
    if -len(all_) <= begin < len(all_):
        assert on_disk[begin] == all_[begin]
    else:
        with pytest.raises(IndexError):
            on_disk[begin]


def test_only_whole_slices() -> None:
    with pytest.raises(ValueError, match="whole slices"):
        DiskList(tuple, 1)[::2]


@given(st.lists(texts), texts)
def test_a_set_is_a_set(all_: list[str], other: str) -> None:
    on_disk, in_memory = DiskSet(), set[str]()
    for text in all_:
        assert on_disk.add(text) is (text not in in_memory)
        in_memory.add(text)
        assert text in on_disk
    assert (other in on_disk) is (other in in_memory)


def test_a_group_is_taken_out_once_and_in_sequence() -> None:
    groups = DiskGroups(2)
    for key, row in (("b", (2, "x")), ("a", (1, "y")), ("b", (1, "z"))):
        groups.add(key, *row)
    assert groups.keys(1) == ["a"]
    assert groups.take("b") == [(2, "x"), (1, "z")]
    assert (list(groups.take("b")), groups.keys(9)) == ([], ["a"])


def test_how_long_it_has_grown_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FLUSH", 4)
    told: list[int] = []
    on_disk = DiskList(tuple, 1, told.append)
    for n in range(10):
        on_disk.append((n,))
    assert told == [4, 8]
    assert on_disk[-1] == (9,)
    assert told == [4, 8, 10]


def test_what_one_thread_writes_another_reads() -> None:
    on_disk, numbers = DiskList(tuple, 1), DiskSet()

    def write() -> None:
        on_disk.append(("a",))
        numbers.add("a")

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert on_disk[0] == ("a",)
    assert "a" in numbers
