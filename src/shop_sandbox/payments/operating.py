"""What the operators' API of both providers share: actions, planted faults, and bills of a day."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from shop_sandbox.http import json_body
from shop_sandbox.payments.bills import PublishedBills
from shop_sandbox.payments.calls import Faults
from shop_sandbox.payments.notices import Notice, Notices


class Listed(Protocol):
    """A trade as the list shows it to programs."""

    @property
    def out_trade_no(self) -> str:
        """The merchant's number."""

    @property
    def order_ref(self) -> str:
        """The order number found in its texts, or ""."""

    @property
    def amount_fen(self) -> int:
        """The amount."""


def wanted_action(request: Request, actions: Sequence[str]) -> tuple[str, str]:
    """The trade's number and the action of a call. Raises HTTPException 404."""
    out_trade_no, action = request.path_params["out_trade_no"], request.path_params["action"]
    if action not in actions:
        raise HTTPException(404, f"actions: {', '.join(actions)}")
    return out_trade_no, action


def acted(state: Mapping[str, object], sent: Sequence[Notice], notices: Notices) -> Response:
    """The new state and the notices; `status` and `body` are the merchant's answer to the last one."""
    last: dict[str, object] = {"status": sent[-1].status, "body": sent[-1].answer} if sent else {}
    return JSONResponse({**state, **last, "sent": [notices.as_json(one) for one in sent]})


def listing(trades: Iterable[Listed]) -> Response:
    """The newest trades as JSON."""
    return JSONResponse(
        [
            {"out_trade_no": one.out_trade_no, "order_ref": one.order_ref, "amount_fen": one.amount_fen}
            for one in trades
        ]
    )


async def pressed(request: Request) -> Response:
    """Redirect a reload of a button's answer to the trade's page."""
    return RedirectResponse(request.url.path.rpartition("/")[0], 303)


async def plant_fault(request: Request, faults_of: Callable[[str], Faults]) -> Response:
    """Plant a fault: `{"method": "…", "fault": "lost", "times": 1}`; 400."""
    wanted = await json_body(request)
    name = str(wanted.get("method"))
    try:
        faults_of(name).plant(name, str(wanted.get("fault")), int(wanted.get("times", 1)))
    except (TypeError, ValueError) as error:
        raise HTTPException(400, str(error)) from None
    return JSONResponse({"planted": wanted})


async def plant_bill(request: Request, published: PublishedBills[Any]) -> Response:
    """Change a bill: `{"out": true}`, `{"missing": "P…"}` or others of `PublishedBills.plant`; 400."""
    change = await json_body(request)
    try:
        published.plant(bill_day(request), change)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    return JSONResponse({"planted": change})


def bill_day(request: Request) -> date:
    """The day in the path. Raises HTTPException 400."""
    try:
        return date.fromisoformat(request.path_params["day"])
    except ValueError:
        raise HTTPException(400, "a day must be YYYY-MM-DD") from None
