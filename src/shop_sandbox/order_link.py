"""A gRPC channel to the order service, with the token of one of our services."""

from collections.abc import Callable

import grpc


class OrderLink:
    """The channel is opened at its first use, and again after `use` named another address."""

    def __init__(self, address: str, token: Callable[[], str]) -> None:
        self._token = token
        self.use(address)

    def use(self, address: str) -> None:
        """Call the order service at this address (`host:port`) from now on."""
        self._address = address
        self._channel: grpc.aio.Channel | None = None

    def channel(self) -> grpc.aio.Channel:
        """The channel."""
        if self._channel is None:
            options = [("grpc.max_reconnect_backoff_ms", 2_000)]
            self._channel = grpc.aio.insecure_channel(self._address, options=options)
        return self._channel

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The token, if there is one."""
        token = self._token()
        return (("authorization", f"Bearer {token}"),) if token else ()

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()


def brief(error: Exception) -> str:
    """An error for a log line."""
    return (
        f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else repr(error)
    )
