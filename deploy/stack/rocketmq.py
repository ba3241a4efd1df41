"""RocketMQ 5.4.0 from Maven Central: a name server, and a proxy with the broker inside it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST
from shop_order.pkg.message.base import BrokerAway
from shop_order.pkg.message.rocketmq.admin import Admin

VERSION = "5.4.0"
NAMESRV, PROXY, REMOTING, BROKER = 39876, 38081, 38082, 30911
URLS = (f"rocketmq://{HOST}:{PROXY}?namesrv={HOST}:{NAMESRV}",)
ARTEFACTS = ("rocketmq-namesrv", "rocketmq-proxy", "rocketmq-tools")
NAMES = ("rocketmq-namesrv", "rocketmq-proxy")


def install(root: Path) -> None:
    """The jars, 94 MB. Raises StackError."""
    jars = _jars(root)
    if (jars / ".complete").exists():
        return
    jars.mkdir(parents=True, exist_ok=True)
    pom = jars.parent / "pom.xml"
    pom.write_text(_pom())
    processes.maven(pom, jars)
    (jars / ".complete").touch()


def start(root: Path) -> None:
    """The name server, then the proxy with its broker. Raises StackError."""
    home, data = _home(root), root / "data" / "rocketmq"
    for folder in (home / "conf", data / "store"):
        folder.mkdir(parents=True, exist_ok=True)
    namesrv, proxy, broker = (
        home / "conf" / name for name in ("namesrv.conf", "rmq-proxy.json", "broker.conf")
    )
    namesrv.write_text(f"listenPort={NAMESRV}\nbindAddress={HOST}\n")
    proxy.write_text(json.dumps(_proxy(broker), indent=2))
    broker.write_text(_broker(data / "store"))
    # No logback file stands in our home: the logs' folder is made, or the first line written fails.
    (data / "logs").mkdir(exist_ok=True)
    env = {"ROCKETMQ_HOME": str(home)}
    java = ["java", "-XX:+UseSerialGC", f"-Duser.home={data}", "-cp", f"{_jars(root)}/*"]
    small = [*java[:1], "-Xms64m", "-Xmx128m", *java[1:]]
    large = [*java[:1], "-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", *java[1:]]
    begin = "org.apache.rocketmq.namesrv.NamesrvStartup"
    processes.start(root, NAMES[0], [*small, begin, "-c", str(namesrv)], env=env)
    processes.wait("rocketmq's name server", lambda: processes.port_is_open(NAMESRV))
    begin, lookup = "org.apache.rocketmq.proxy.ProxyStartup", f"{HOST}:{NAMESRV}"
    files = ["-pm", "local", "-pc", str(proxy), "-bc", str(broker), "-n", lookup]
    processes.start(root, NAMES[1], [*large, begin, *files], env=env)


def ready(root: Path) -> bool:
    """The broker is registered and the proxy takes calls."""
    if not (processes.port_is_open(NAMESRV) and processes.port_is_open(PROXY)):
        return False
    try:
        return bool(asyncio.run(Admin(f"{HOST}:{NAMESRV}").brokers()))
    except BrokerAway:
        return False


def stop(root: Path) -> None:
    """The broker first: it says good-bye to the name server. What was accepted is on disk."""
    for name in reversed(NAMES):
        processes.stop(root, name, timeout_s=40)


def kill_broker(root: Path) -> None:
    """As a power cut would: for tests of what comes back."""
    if pid := processes.running(root, NAMES[1]):
        os.killpg(pid, 9)


def mqadmin(root: Path, *arguments: str) -> str:
    """The output of RocketMQ's own tool. Raises StackError."""
    tool = "org.apache.rocketmq.tools.command.MQAdminStartup"
    java = ["java", f"-Duser.home={root / 'data' / 'rocketmq'}", "-cp", f"{_jars(root)}/*", tool]
    env = {"ROCKETMQ_HOME": str(_home(root)), "NAMESRV_ADDR": f"{HOST}:{NAMESRV}"}
    return processes.run([*java, *arguments], env=env, timeout_s=60)


def _jars(root: Path) -> Path:
    return root / "cache" / "rocketmq" / VERSION / "lib"


def _home(root: Path) -> Path:
    return root / "data" / "rocketmq" / "home"


def _proxy(broker: Path) -> dict[str, object]:
    return {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": f"{HOST}:{NAMESRV}",
        "proxyMode": "local",
        "brokerConfigPath": str(broker),
        "grpcServerPort": PROXY,
        "remotingListenPort": REMOTING,
        # What a killed consumer or broker had in hand comes again after 15 s instead of 60.
        "defaultInvisibleTimeMills": 15_000,
    }


def _broker(store: Path) -> str:
    settings = {
        "brokerClusterName": "DefaultCluster",
        "brokerName": "broker-a",
        "brokerId": 0,
        "brokerIP1": HOST,
        "listenPort": BROKER,
        "namesrvAddr": f"{HOST}:{NAMESRV}",
        "storePathRootDir": store,
        "storePathCommitLog": store / "commitlog",
        "flushDiskType": "SYNC_FLUSH",
        "autoCreateTopicEnable": "false",
        "autoCreateSubscriptionGroup": "false",
        # Small on disk: the defaults take a gigabyte before the first message.
        "mappedFileSizeCommitLog": 16_777_216,
        "mappedFileSizeConsumeQueue": 600_000,
        "mappedFileSizeTimerLog": 1_048_576,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _pom() -> str:
    wanted = "".join(
        f"<dependency><groupId>org.apache.rocketmq</groupId><artifactId>{name}</artifactId>"
        f"<version>{VERSION}</version></dependency>"
        for name in ARTEFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>shop.stack</groupId><artifactId>rocketmq</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>\n"
    )
