"""What the calls of every provider share: refusals, planted faults, and checks of addresses and numbers."""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

MAX_FAULTS = 1_000
MAX_URL = 256
_ORDER_SN = re.compile(r"(?<![0-9PR])[0-9]{27}(?![0-9])", re.ASCII)


class CallRefused(Exception):
    """A call or an action is refused; each provider adds its own codes."""


class GatewayDown(Exception):
    """The call gets this HTTP status instead of an answer."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Faults:
    """Faults planted for the next calls, by the names that the provider gives them."""

    def __init__(self, names: Sequence[str], faults: Sequence[str]) -> None:
        self._names = names
        self._faults = faults
        self._planted: dict[str, list[str]] = {}

    def plant(self, name: str, fault: str, times: int) -> None:
        """Make the next `times` calls of `name` fail with `fault`; 0 clears it. Raises ValueError."""
        if name not in self._names or fault not in self._faults or not 0 <= times <= MAX_FAULTS:
            raise ValueError(
                f"method must be one of {sorted(self._names)}, fault one of {tuple(self._faults)}, "
                f"times 0 to {MAX_FAULTS}"
            )
        self._planted[name] = [fault] * times

    def next(self, name: str) -> str:
        """The fault of this call, or ""; it is used up."""
        planted = self._planted.get(name)
        return planted.pop() if planted else ""


def is_local_url(url: str) -> bool:
    """Whether a notice may go there: only loopback addresses, so that it stays on this machine."""
    try:
        parts = urlsplit(url)
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
    return local and len(url) <= MAX_URL and parts.scheme in ("http", "https")


def order_ref(*texts: str) -> str:
    """The order number found in the texts of a payment, or ""."""
    return next((match[0] for text in texts if (match := _ORDER_SN.search(text))), "")
