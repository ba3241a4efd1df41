"""The refusals of API v3: HTTP status, code and text, as in the official tables."""

from collections.abc import Mapping

from shop_sandbox.payments.calls import CallRefused


class Refused(CallRefused):
    """A call is refused with WeChat Pay's `status`, `code`, `message` and `detail`."""

    def __init__(
        self, status: int, code: str, message: str, detail: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def body(self) -> dict[str, object]:
        """The answer's JSON."""
        found: dict[str, object] = {"code": self.code, "message": self.message}
        return found | {"detail": dict(self.detail)} if self.detail else found


def param_error(field: str, issue: str, value: object = None, location: str = "body") -> Refused:
    """A field is missing, of the wrong type, or outside its limits."""
    detail: dict[str, object] = {"field": field, "issue": issue, "location": location}
    if value is not None:
        detail["value"] = value if isinstance(value, int | str) else str(value)
    return Refused(400, "PARAM_ERROR", f"参数错误：输入源“/{location}{field}”{issue}", detail)


def invalid_request(message: str) -> Refused:
    """A well-formed call that the rules forbid."""
    return Refused(400, "INVALID_REQUEST", message)


def sign_error(message: str, detail: Mapping[str, object] | None = None) -> Refused:
    """The call's signature, its time or its certificate is wrong."""
    return Refused(401, "SIGN_ERROR", message, detail)


def order_not_exist() -> Refused:
    """There is no such order."""
    return Refused(404, "ORDER_NOT_EXIST", "订单不存在")


def order_paid() -> Refused:
    """The order is paid already."""
    return Refused(400, "ORDERPAID", "该订单已支付")


def order_closed() -> Refused:
    """The order is closed already."""
    return Refused(400, "ORDER_CLOSED", "该订单已关闭")


def not_found(message: str) -> Refused:
    """There is no such refund, or no paid order to refund."""
    return Refused(404, "RESOURCE_NOT_EXISTS", message)
