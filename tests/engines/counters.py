"""How many commands each engine of the stack was sent, by its own counters."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import pymongo
import pymysql

from deploy.stack import nginx
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from shop_order.pkg.redis import parse as redis_address
from shop_order.repository.dao.engine.mysql_session import MysqlAddress

ANSWER_S = 20.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.eE+]+)$", re.MULTILINE)


def count(url: str) -> int:
    """What the engine behind one of the stack's URLs was sent since it started."""
    return _COUNTERS[urlsplit(url).scheme](url)


def _sql(url: str) -> int:
    at = MysqlAddress.of(url)
    with pymysql.connect(host=at.host, port=at.port, user=at.user, password=at.password) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(cursor.fetchone()[1])


def _redis(url: str) -> int:
    import redis

    found = 0
    for host, port in redis_address(url).hosts:
        with redis.Redis(host=host, port=port, socket_timeout=ANSWER_S) as node:
            found += node.info("stats")["total_commands_processed"]
    return found


def _rocketmq(url: str) -> int:
    """Messages that are stored: it counts these over its own death, too."""

    async def stored() -> int:
        admin = Admin(parse(url).namesrv)
        return sum([await admin.message_count(topic) for topic in await admin.topic_types("")])

    return asyncio.run(stored())


def _mongodb(url: str) -> int:
    with pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=int(ANSWER_S * 1000)) as client:
        told = client.admin.command("serverStatus")["opcounters"]
    return sum(int(number) for number in told.values())


def _consul(url: str) -> int:
    page = _page(f"http://{urlsplit(url).netloc}/v1/agent/metrics?format=prometheus")
    return sum(_samples(page, "consul_api_http_count"))


def _nacos(url: str) -> int:
    page = _page(f"http://{urlsplit(url).netloc}/nacos/actuator/prometheus")
    asked = sum(_samples(page, "http_server_requests_seconds_count"))
    return asked + sum(_samples(page, "grpc_server_executor", "completedTaskCount", "grpcSdkServer"))


def _nginx(_: str) -> int:
    return nginx.requests()


def _samples(page: str, name: str, *labels: str) -> Iterable[int]:
    for found, told, value in _SAMPLE.findall(page):
        if found == name and all(f'"{label}"' in told for label in labels):
            yield int(float(value))


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
        return str(answer.read(), "utf-8")


_COUNTERS: dict[str, Callable[[str], int]] = {
    "mysql": _sql,
    "redis": _redis,
    "redis+sentinel": _redis,
    "redis+cluster": _redis,
    "rocketmq": _rocketmq,
    "mongodb": _mongodb,
    "consul": _consul,
    "nacos": _nacos,
    "nginx": _nginx,
}
