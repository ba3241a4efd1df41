"""The wallet's answers as the broker delivers them; `web.grpc.event_inbox` takes them where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shop_order.domain.errors import Forbidden, SignatureInvalid
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.message import SIGNATURE, Delivery
from shop_order.pkg.signing import BadSignature, Signer
from shop_order.service.wallet import WalletAnswers
from shop_order.web.dto.wallet_events import answer_of, source_of


@dataclass(frozen=True, eq=False)
class SignedAnswers:
    """Accepts a message by its signature, as the inbox accepts a call by its token.

    Whoever reaches the broker can publish, and the broker does not tell us who did.
    """

    answers: WalletAnswers
    signer: Signer
    on_forged: Callable[[str], None]  # the channel of an answer that the wallet did not send

    async def take(self, delivery: Delivery) -> None:
        """Apply an answer.

        Raises SignatureInvalid, Forbidden (signed, but its source is no wallet), InvalidArgument, and what
        `WalletAnswers.take` raises.
        """
        try:
            self.answers.check_caller(self._sender(delivery))
        except (SignatureInvalid, Forbidden):
            self.on_forged(PaymentType.BALANCE.code)  # once for each delivery: a refused one comes again
            raise
        _, answer = answer_of(delivery.body)
        await self.answers.take(answer)

    def _sender(self, delivery: Delivery) -> Actor:
        """The service that signed. Nothing of the body is read before. Raises SignatureInvalid."""
        try:
            self.signer.verify_hex(delivery.body, delivery.properties.get(SIGNATURE, ""))
        except BadSignature:
            raise SignatureInvalid("notice") from None
        return Actor(Role.SERVICE, service=source_of(delivery.body))
