"""MySQL, MariaDB and Redis over TLS: by options of the URL, and never with a server nobody vouches for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.redis import open_redis
from shop_order.pkg.redis.connection import RedisConnection, RedisUnavailable
from shop_order.repository.dao.store import open_store
from shop_order.repository.history import open_history
from shop_order.repository.schema import migrate
from tests.contract.engine import added
from tests.contract.own_server import make_of, own_server
from tests.faults.redis_server import RedisServer
from tests.plugins.engines import available
from tests.world.certificates import make_certificate


@dataclass
class Secure:
    """A server that talks over TLS only: where it is, and files about it."""

    url: str
    ca: Path
    other_ca: Path


@pytest.fixture(scope="module", params=available("mysql"))
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    (cert, key), (other, _) = (make_certificate(folder, name) for name in ("server", "other"))
    options = (f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={cert}", "--require-secure-transport=ON")
    with own_server(make_of(request.param), *options) as server:
        yield Secure(server.url, cert, other)


@pytest.mark.engine("mysql")
async def test_orders_are_stored_over_tls(database: Secure) -> None:
    url = f"{database.url}?ssl-ca={database.ca}"
    migrate(url)
    store = open_store(url, next_id=itertools.count(1000).__next__)
    await store.open()
    new = await added(store)
    assert (await store.orders.get(new.order_sn)).id == new.id
    reader = store._db.reader
    ((_, cipher),) = await reader.submit(lambda session: session.all("SHOW STATUS LIKE 'Ssl_cipher'"))
    assert cipher
    await store.close()
    with open_history(url, writes=False) as records:
        assert records.execute("SELECT count(*) FROM config_history").fetchone() == (0,)


@pytest.mark.engine("mysql")
@pytest.mark.parametrize("how", ["?ssl-ca={other}", "?ssl-mode=verify_ca"])
async def test_a_database_nobody_vouches_for_is_not_used(database: Secure, how: str) -> None:
    url = database.url + how.format(other=database.other_ca)
    with pytest.raises(OSError, match="certificate verify failed"):
        migrate(url)
    store = open_store(url, next_id=itertools.count(1000).__next__)
    with pytest.raises(DependencyDown):
        await store.open()
    await store.close()


@pytest.mark.engine("mysql")
async def test_the_name_in_the_certificate_counts_unless_told_otherwise(database: Secure) -> None:
    """The certificate is for 127.0.0.1 only."""
    url = database.url.replace("127.0.0.1", "localhost") + f"?ssl-ca={database.ca}"
    with pytest.raises(OSError, match="Hostname mismatch"):
        migrate(url)
    migrate(f"{url}&ssl-mode=verify_ca")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """One that has no other port than that for TLS, and is a whole cluster by itself."""
    cert, key = make_certificate(tmp_path, "server")
    make_certificate(tmp_path, "other")
    server = RedisServer(tmp_path / "redis", *secured(cert, key), "--cluster-enabled", "yes")
    server.more("--port", "0", "--tls-port", str(server.port))
    with server:
        said = ""
        async with asyncio.timeout(20):
            while "cluster_state:ok" not in said:
                await asyncio.to_thread(tool, server, cert, "cluster", "addslotsrange", "0", "16383")
                said = await asyncio.to_thread(tool, server, cert, "cluster", "info")
        yield server


def secured(cert: Path, key: Path) -> list[str]:
    files = ["--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(cert)]
    return [*files, "--tls-auth-clients", "no", "--tls-cluster", "yes"]


def tool(server: RedisServer, ca: Path, *command: str) -> str:
    return server.says("--tls", "--cacert", str(ca), *command)


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[RedisConnection]:
    link = open_redis(url, timeout_s=lambda: 2.0)
    assert link is not None
    await link.open()
    yield link
    await link.close()


@pytest.mark.engine("redis")
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
async def test_redis_is_asked_over_tls(redis: RedisServer, scheme: str, tmp_path: Path) -> None:
    at = f"{scheme}://127.0.0.1:{redis.port}"
    async with linked(f"{at}?ssl-ca={tmp_path / 'server.crt'}") as link:
        assert await link.command("SET", "k", "v")
        assert await link.command("GET", "k") == b"v"


@pytest.mark.engine("redis")
@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{port}",
        "rediss://127.0.0.1:{port}",
        "rediss://127.0.0.1:{port}?ssl-ca={other}",
        "rediss://localhost:{port}?ssl-ca={ca}",
        "rediss+cluster://127.0.0.1:{port}?ssl-ca={other}",
    ],
)
async def test_a_redis_nobody_vouches_for_is_not_used(redis: RedisServer, url: str, tmp_path: Path) -> None:
    at = url.format(port=redis.port, ca=tmp_path / "server.crt", other=tmp_path / "other.crt")
    async with linked(at) as link:
        with pytest.raises(RedisUnavailable):
            await link.command("GET", "k")


@pytest.mark.engine("redis")
async def test_a_sentinel_and_its_master_are_asked_over_tls(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "server")
    options = [*secured(cert, key), "--tls-replication", "yes"]
    master = RedisServer(tmp_path / "master", *options)
    master.more("--port", "0", "--tls-port", str(master.port))
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor shop 127.0.0.1 {master.port} 1\n")
    sentinel = RedisServer(tmp_path / "sentinel", *options, config=config)
    sentinel.more("--port", "0", "--tls-port", str(sentinel.port))
    with master, sentinel:
        async with asyncio.timeout(20):
            answering = ""
            while "PONG" not in answering:
                answering = await asyncio.to_thread(tool, sentinel, cert, "ping")
        url = f"rediss+sentinel://127.0.0.1:{sentinel.port}/shop?ssl-ca={cert}"
        async with linked(url) as link:
            assert await link.command("SET", "k", "v")
