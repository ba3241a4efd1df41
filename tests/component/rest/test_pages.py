"""The pages of the order service: what is where at `/`, and the frames around Swagger UI and ReDoc."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import httpx
import pytest

from shop_order.web.document.pages import REDOC, Places
from shop_order.web.http import HttpSettings, build_http
from tests.component.rest.front import Rest, refused
from tests.world.shop import World

DOCUMENTS = ("/api/v1/docs", "/api/v1/redoc")
OUTSIDE = re.compile(r"https?://(?!www\.w3\.org/)")
FAR = {"x-forwarded-for": "198.51.100.7"}


class Page(HTMLParser):
    """What a browser and a screen reader look for first, and where the page leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lang, self.viewport = "", ""
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "html":
            self.lang = found.get("lang") or ""
        if tag == "meta" and found.get("name") == "viewport":
            self.viewport = found.get("content") or ""
        if tag == "a":
            self.links.append(found.get("href") or "")


@pytest.mark.parametrize(("accept", "lang"), [("", "zh-CN"), ("en-GB, zh;q=0.5", "en")])
@pytest.mark.parametrize("path", ["/", *DOCUMENTS])
async def test_a_page_names_its_language_and_fits_a_phone(
    rest: Rest, path: str, accept: str, lang: str
) -> None:
    answer = await rest.call("GET", f"/{path}", as_="", headers={"accept-language": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert page.lang == lang
    assert "width=device-width" in page.viewport
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_page_at_the_root_leads_where_the_caller_may_go(rest: Rest) -> None:
    answer = await rest.call("GET", "//", as_="")
    links = Page(answer.text).links
    assert {"/api/v1/docs", "/api/v1/redoc", "/healthz", "/readyz", "/metrics"} <= {*links}
    for link in links:
        assert (await rest.call("GET", f"/{link}", as_="")).status_code == 200, link
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not OUTSIDE.search(answer.text), "production: nothing but our own paths"
    english = await rest.call("GET", "//", as_="", headers={"accept-language": "en"})
    assert ("订单服务" in answer.text, "Order service" in english.text) == (True, True)


async def test_who_is_elsewhere_is_not_shown_the_metrics(world: World) -> None:
    async with Rest(world, trusted_proxies=("127.0.0.1",)) as rest:
        assert "/metrics" in (await rest.call("GET", "//", as_="")).text
        assert "/metrics" not in (await rest.call("GET", "//", as_="", headers=FAR)).text
    async with Rest(world) as rest:  # a proxy on this machine that nobody told us of
        assert "/metrics" not in (await rest.call("GET", "//", as_="", headers=FAR)).text


async def test_developers_are_shown_the_other_ports(rest: Rest) -> None:
    parts = replace(rest.parts, places=lambda: Places("127.0.0.1:50051", "http://127.0.0.1:8090/"))
    app = build_http(parts, HttpSettings(deadline_s=lambda: 5.0))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as browser:
        page = await browser.get("/")
    assert "127.0.0.1:50051" in page.text
    assert "http://127.0.0.1:8090/" in Page(page.text).links


async def test_the_root_is_in_no_document_and_changes_no_other_path(rest: Rest) -> None:
    assert "/" not in (await rest.call("GET", "/openapi.json")).json()["paths"]
    refused(await rest.call("GET", "//nothing"), 404, "NOT_FOUND")
    refused(await rest.call("POST", "//"), 405, "METHOD_NOT_ALLOWED")


async def test_the_documents_ask_nobody_outside_for_a_picture(rest: Rest) -> None:
    for path in DOCUMENTS:
        assert not OUTSIDE.search((await rest.call("GET", f"/{path}", as_="")).text)
    script = await rest.call("GET", f"/docs/assets/{REDOC}", as_="")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "logo-mini.svg" not in script.text
    kept = {"if-none-match": script.headers["etag"]}
    assert (await rest.call("GET", f"/docs/assets/{REDOC}", as_="", headers=kept)).status_code == 304
    head = await rest.call("HEAD", f"/docs/assets/{REDOC}", as_="")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(script.content)))


async def test_who_reads_of_a_button_is_told_on_which_page_it_is(rest: Rest) -> None:
    text = (await rest.call("GET", "/openapi.json")).json()["info"]["description"]
    for sentence in re.split(r"。|\. ", text):
        if "Authorize*" in sentence:
            assert "/api/v1/docs" in sentence
