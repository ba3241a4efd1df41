"""One gRPC call on its way through the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import unquote

from grpc import StatusCode

from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.grpc.admission import Context
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import RequestContext, accepted_request_id, enter
from shop_order.web.messages import accepted_language
from shop_order.web.middleware.client_address import Network, behind_proxies


class Call:
    """Raw bytes in, and what the links learn; `code` is what the caller is answered.

    `body` is the message of a call that has one; of a bidirectional stream they come by `messages`.
    `metadata` has what was sent once; `repeated` names what was sent more often.
    """

    __slots__ = ("body", "code", "context", "messages", "metadata", "repeated", "request")

    def __init__(self, body: bytes, context: Context, messages: AsyncIterator[bytes] | None = None) -> None:
        self.body = body
        self.messages = messages
        self.context = context
        self.code = StatusCode.OK
        sent: tuple[tuple[str, str], ...] = tuple(context.invocation_metadata() or ())  # type: ignore[arg-type]
        self.metadata, self.repeated = dict(sent), frozenset[str]()
        if len(self.metadata) < len(sent):  # which of two counts is not for us to guess
            counted = Counter(name for name, _ in sent)
            self.repeated = frozenset(name for name, times in counted.items() if times > 1)
            self.metadata = {name: value for name, value in sent if name not in self.repeated}
        self.request = RequestContext(accepted_request_id(self.metadata.get("x-request-id")))
        if accept := self.metadata.get("accept-language"):
            self.request.language = accepted_language(accept)
        enter(self.request)

    def actor(self, authenticator: Authenticator) -> Actor:
        """Who calls. Raises Unauthenticated, DependencyDown."""
        name = "authorization"
        return authenticator.actor(self.metadata.get(name), repeated=name in self.repeated)

    async def send(self, message: bytes) -> None:
        """Write one message of a stream; waits while the caller reads too slowly."""
        await self.context.write(message)

    def time_left_s(self) -> float | None:
        """Until the caller's own deadline; None if it set none."""
        left_s: float | None = self.context.time_remaining()
        return left_s

    def address(self, trusted: tuple[Network, ...]) -> str:
        """The caller's address, without its port; empty when it can't be known."""
        metadata = self.context.invocation_metadata() or ()
        forwarded = [str(value) for name, value in metadata if name == "x-forwarded-for"]
        return behind_proxies(peer_address(self.context.peer()), forwarded, trusted)

    def trailing(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata every answer carries."""
        if self.request.replayed:
            return (("x-request-id", self.request.request_id), ("idempotency-replayed", "true"))
        return (("x-request-id", self.request.request_id),)


def peer_address(peer: str) -> str:
    """The address in grpc's `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`; empty for anything else."""
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].strip("[]")
