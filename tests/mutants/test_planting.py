"""Faults are found by symbol and shape: they survive a move and another layout, and say what they miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.planting import (
    Change,
    DoesNotFit,
    argument,
    file_named,
    never,
    place,
    plant,
    reword,
    skip,
    swap,
)

CODE = '''
LATE = {"paid": frozenset({1}), "closed": frozenset()}

class Order:
    def cancel(self, now):
        """Cancel it."""
        # a comment in between
        if self.paid and (
            now > self.due
        ):
            raise Late("paid")
        refund(self.sn, sn=self.sn,
               fen=self.fen)
        return self.repository.run("UPDATE t SET a = 1"
                                   " WHERE  b = ?")
'''


def sources(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (never("Order.cancel", "self.paid and ..."), "if False:"),
        (swap("cancel", "if ...: ...", "while ...: ..."), "while self.paid and now > self.due:"),
        (skip("cancel", "refund(self.sn, ...)"), "pass"),
        (swap("Order", "now > ...", "now >= self.due"), "if self.paid and now >= self.due:"),
        (argument("cancel", "refund(sn=self.sn)", "0"), "refund(self.sn, sn=0, fen=self.fen)"),
        (reword("cancel", "1 WHERE b = ?", "2"), "return self.repository.run('UPDATE t SET a = 2')"),
        (swap("LATE", "{1}", "{2}"), "LATE = {'paid': frozenset({2}), 'closed': frozenset()}"),
    ],
)
def test_a_change_is_made_wherever_its_symbol_stands(change: Change, made: str, tmp_path: Path) -> None:
    source = sources(tmp_path, shop__deep__down=CODE, shop__other="def pay(): ...")
    plant((change,), source, source)
    changed = (source / "shop/deep/down.py").read_text("utf-8")
    assert made in [line.strip() for line in changed.splitlines()]


def test_the_package_before_the_colon_chooses_among_several(tmp_path: Path) -> None:
    source = sources(tmp_path, shop__sqlite__order=CODE, shop__mysql__order=CODE)
    assert place(skip("sqlite:cancel", "refund(...)"), source).module == "shop/sqlite/order.py"
    with pytest.raises(
        DoesNotFit, match=r"more than once, in shop/mysql/order.py: Order.cancel, and in shop/sq"
    ):
        place(skip("cancel", "refund(...)"), source)


def test_a_package_that_is_gone_does_no_harm_where_one_place_is_left(tmp_path: Path) -> None:
    source = sources(tmp_path, shop__order=CODE)
    assert place(skip("sqlite:cancel", "refund(...)"), source).module == "shop/order.py"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            skip("Order.give_up", "refund(...)"),
            r"renamed or deleted; the shape stands in shop/order.py: Order.cancel\.",
        ),
        (
            skip("LATE", "refund(...)"),
            "LATE is in shop/order.py, but has nothing of this shape; the shape stands in",
        ),
        (skip("Order.cancel", "refund(1)"), "nothing in src has this shape"),
        (swap("cancel", "self.sn", "0"), r"fits more than once, in shop/order.py: Order.cancel \(2 times\)"),
    ],
)
def test_what_does_not_fit_says_where_to_look(change: Change, told: str, tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit, match=told):
        place(change, sources(tmp_path, shop__order=CODE))


def test_tests_are_named_by_file_wherever_it_stands(tmp_path: Path) -> None:
    tests = sources(tmp_path, unit__web__test_cart="", unit__domain__test_cart="", unit__test_order="")
    assert file_named("test_order", tests) == tests / "unit/test_order.py"
    assert file_named("web/test_cart", tests) == tests / "unit/web/test_cart.py"
    assert file_named("unit/web", tests) == tests / "unit/web"
    with pytest.raises(DoesNotFit, match="may be any of"):
        file_named("test_cart", tests)
    with pytest.raises(DoesNotFit, match="no tests are called 'test_gone'"):
        file_named("test_gone", tests)
