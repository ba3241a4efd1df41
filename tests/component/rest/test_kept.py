"""What is the same for everybody is made once, and beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from shop_order.web import html
from shop_order.web.document import pages
from shop_order.web.document.pages import matches
from tests.component.rest.front import Rest

DOCUMENTS = ("openapi.json", "openapi.yaml", "openapi.md", "docs", "redoc", "docs/assets/favicon.png")


async def test_a_document_is_made_once_and_in_a_thread(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for place, name in (
        (pages, "as_json"), (pages, "as_yaml"), (pages, "as_markdown"), (html.Page, "html")
    ):  # fmt: skip
        make = getattr(place, name)

        def counted(*args: object, name: str = name, make: object = make, **more: object) -> object:
            assert threading.current_thread() is not threading.main_thread()
            made.append(name)
            return make(*args, **more)  # type: ignore[operator]

        monkeypatch.setattr(place, name, counted)
    for path in DOCUMENTS:
        answers = await asyncio.gather(*(rest.call("GET", f"/{path}", as_="") for _ in range(5)))
        assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert sorted(made) == ["as_json", "as_markdown", "as_yaml", "html", "html"]


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_who_has_it_already_is_not_sent_it_again(rest: Rest, path: str) -> None:
    first = await rest.call("GET", f"/{path}", as_="")
    tag = first.headers["etag"]
    assert "max-age=" in first.headers["cache-control"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await rest.call("GET", f"/{path}", as_="", headers={"if-none-match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == first.headers["cache-control"]
    changed = await rest.call("GET", f"/{path}", as_="", headers={"if-none-match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)


def test_a_tag_is_compared_whole() -> None:
    assert not matches(['"abcd"', "abc", ""], '"abc"')
    assert matches(['"x" ,W/"abc"'], '"abc"')
