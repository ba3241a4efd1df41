"""Pages of other origins: those of the list may call us; only the gateway speaks of them."""

from __future__ import annotations

import httpx
import pytest

from tests.gateway.conftest import Started
from tests.gateway.running import GOOD_ORIGIN, Nginx

BAD_ORIGINS = ["https://evil.example.com", "http://shop.example.com", f"{GOOD_ORIGIN}.evil.com", "null"]


def cors(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control-") and value
    }


async def preflight(nginx: Nginx, origin: str, path: str = "/api/v1/orders") -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    async with nginx.http() as http:
        return await http.options(path, headers=asked)


async def test_a_preflight_from_the_list_is_answered_by_the_gateway(nginx: Nginx) -> None:
    answer = await preflight(nginx, GOOD_ORIGIN)
    assert (answer.status_code, answer.content) == (204, b"")
    found = cors(answer)
    assert found["access-control-allow-origin"] == GOOD_ORIGIN
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} == set(found["access-control-allow-methods"].split(", "))
    assert {"Authorization", "Idempotency-Key"} <= set(found["access-control-allow-headers"].split(", "))
    assert int(found["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in found
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", BAD_ORIGINS)
async def test_a_preflight_from_elsewhere_is_refused(nginx: Nginx, origin: str) -> None:
    answer = await preflight(nginx, origin)
    assert (answer.status_code, answer.json()["error"]) == (403, "FORBIDDEN")
    assert cors(answer) == {}


async def test_an_answer_to_a_page_of_the_list_names_it_once(nginx: Nginx) -> None:
    async with nginx.http() as http:
        answer = await http.get("/api/v1/orders", headers={"Origin": GOOD_ORIGIN})
    # The tiny instance says `*` itself.
    assert answer.headers.get_list("access-control-allow-origin") == [GOOD_ORIGIN]
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("origin", [*BAD_ORIGINS, ""])
async def test_an_answer_to_any_other_page_names_none(nginx: Nginx, origin: str) -> None:
    async with nginx.http() as http:
        answer = await http.get("/api/v1/orders", headers={"Origin": origin} if origin else {})
    assert answer.status_code == 200
    assert cors(answer) == {}
    assert answer.headers["vary"] == "Origin"


async def test_a_page_may_read_what_the_gateway_refuses(start: Started) -> None:
    nginx = start(token_rate=1, token_burst=1)
    headers = {"Origin": GOOD_ORIGIN, "Authorization": "Bearer t"}
    async with nginx.http() as http:
        answers = [await http.get("/api/v1/orders", headers=headers) for _ in range(3)]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["access-control-allow-origin"] == GOOD_ORIGIN
        for _ in range(5):  # preflights carry no token and cost nothing
            assert (await preflight(nginx, GOOD_ORIGIN)).status_code == 204


async def test_options_that_are_no_preflight_reach_the_service(nginx: Nginx) -> None:
    async with nginx.http() as http:
        assert (await http.options("/api/v1/orders")).json()["method"] == "OPTIONS"


async def test_without_a_list_no_page_may_call(start: Started) -> None:
    assert (await preflight(start(origins=()), GOOD_ORIGIN)).status_code == 403
