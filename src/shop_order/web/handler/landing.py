"""The page at `/`."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shop_order.web.handler.answer import context
from shop_order.web.handler.route import operation
from shop_order.web.landing_page import LandingPage, Places
from shop_order.web.middleware.client_address import Network, client_address, is_loopback


class LandingHandler:
    """The route `/`, which is not in the REST document."""

    def __init__(
        self, page: LandingPage, places: Callable[[], Places], trusted_proxies: tuple[Network, ...]
    ) -> None:
        self._page = page
        self._places = places
        self._trusted = trusted_proxies

    @operation("GET", "/", id="landing", tag="", summary="入口 / What is where")
    async def landing(self, request: Request) -> Response:
        """The addresses that this caller may open."""
        local = is_loopback(client_address(request.scope, self._trusted))
        page = self._page.html(self._places(), context().language, local=local)
        return HTMLResponse(page, headers={"Content-Security-Policy": self._page.policy})
