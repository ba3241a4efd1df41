"""RocketMQ 5.4.0 from Maven Central: a name server, and a proxy with an embedded broker."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST
from shop_order.pkg.message import BrokerUnavailable
from shop_order.pkg.message.rocketmq.admin import Admin

VERSION = "5.4.0"
ARTEFACTS = ("rocketmq-namesrv", "rocketmq-proxy", "rocketmq-tools")
NAME = "rocketmq"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a cluster; the broker also uses its port - 2 and its port + 1."""

    namesrv: int = 29_876
    proxy: int = 28_081
    remoting: int = 28_082
    broker: int = 30_911

    @property
    def url(self) -> str:
        """The URL for the service's settings."""
        return f"rocketmq://{HOST}:{self.proxy}?namesrv={HOST}:{self.namesrv}"


PORTS = Ports()
URLS = (PORTS.url,)
PROGRAMS = (f"{NAME}-namesrv", f"{NAME}-proxy")


def install(root: Path) -> None:
    """Fetch the jars (94 MB). Raises StackError."""
    processes.ensure_tools("java")  # also if the cache came from another machine
    jars = _jars(root)
    if (jars / ".complete").exists():
        return
    jars.mkdir(parents=True, exist_ok=True)
    pom = jars.parent / "pom.xml"
    pom.write_text(_pom())
    processes.maven(pom, jars)
    (jars / ".complete").touch()


def start(root: Path) -> None:
    """Start the name server, then the proxy with its broker. Raises StackError."""
    start_on(root, NAME, PORTS, root / "data" / NAME)


def start_on(root: Path, name: str, ports: Ports, data: Path) -> None:
    """Start a cluster on these ports. Raises StackError."""
    home = data / "home"
    for folder in (home / "conf", data / "store"):
        folder.mkdir(parents=True, exist_ok=True)
    namesrv, proxy, broker = (
        home / "conf" / file for file in ("namesrv.conf", "rmq-proxy.json", "broker.conf")
    )
    namesrv.write_text(f"listenPort={ports.namesrv}\nbindAddress={HOST}\n")
    proxy.write_text(json.dumps(_proxy(ports, broker), indent=2))
    broker.write_text(_broker(ports, data / "store"))
    # Without a logback file the first log line fails unless the folder exists.
    (data / "logs").mkdir(exist_ok=True)
    env = {"ROCKETMQ_HOME": str(home)}
    java = ["java", "-XX:+UseSerialGC", f"-Duser.home={data}", "-cp", f"{_jars(root)}/*"]
    small = [*java[:1], "-Xms64m", "-Xmx128m", *java[1:]]
    large = [*java[:1], "-Xms256m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", *java[1:]]
    begin = "org.apache.rocketmq.namesrv.NamesrvStartup"
    processes.start(root, f"{name}-namesrv", [*small, begin, "-c", str(namesrv)], env=env)
    processes.wait(
        "rocketmq's name server",
        lambda: processes.port_is_open(ports.namesrv),
        ended=lambda: processes.exit_reason(root, f"{name}-namesrv"),
    )
    begin, lookup = "org.apache.rocketmq.proxy.ProxyStartup", f"{HOST}:{ports.namesrv}"
    options = ["-pm", "local", "-pc", str(proxy), "-bc", str(broker), "-n", lookup]
    processes.start(root, f"{name}-proxy", [*large, begin, *options], env=env)


def ready(root: Path) -> bool:
    """See `ready_on`."""
    return ready_on(PORTS)


def ready_on(ports: Ports) -> bool:
    """Whether the broker is registered and the proxy listens."""
    if not (processes.port_is_open(ports.namesrv) and processes.port_is_open(ports.proxy)):
        return False
    try:
        return bool(asyncio.run(Admin(f"{HOST}:{ports.namesrv}").brokers()))
    except BrokerUnavailable:
        return False


def stop(root: Path) -> None:
    """Stop the broker first, so that it can unregister. Accepted messages are on disk."""
    stop_on(root, NAME)


def stop_on(root: Path, name: str) -> None:
    """The same for a cluster started under `name`."""
    for part in ("proxy", "namesrv"):
        processes.stop(root, f"{name}-{part}", timeout_s=40)


def mqadmin(root: Path, *arguments: str) -> str:
    """Run RocketMQ's admin tool and return its output. Raises StackError."""
    tool = "org.apache.rocketmq.tools.command.MQAdminStartup"
    data = root / "data" / NAME
    java = ["java", f"-Duser.home={data}", "-cp", f"{_jars(root)}/*", tool]
    env = {"ROCKETMQ_HOME": str(data / "home"), "NAMESRV_ADDR": f"{HOST}:{PORTS.namesrv}"}
    return processes.run([*java, *arguments], env=env, timeout_s=60)


def _jars(root: Path) -> Path:
    return root / "cache" / "rocketmq" / VERSION / "lib"


def _proxy(ports: Ports, broker: Path) -> dict[str, object]:
    return {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": f"{HOST}:{ports.namesrv}",
        "proxyMode": "local",
        "brokerConfigPath": str(broker),
        "grpcServerPort": ports.proxy,
        "remotingListenPort": ports.remoting,
        # Redeliver messages of a killed broker after 15 s instead of 60.
        "defaultInvisibleTimeMills": 15_000,
    }


def _broker(ports: Ports, store: Path) -> str:
    settings = {
        "brokerClusterName": "DefaultCluster",
        "brokerName": "broker-a",
        "brokerId": 0,
        "brokerIP1": HOST,
        "bindAddress": HOST,
        "listenPort": ports.broker,
        "namesrvAddr": f"{HOST}:{ports.namesrv}",
        "storePathRootDir": store,
        "storePathCommitLog": store / "commitlog",
        "flushDiskType": "SYNC_FLUSH",
        "autoCreateTopicEnable": "false",
        "autoCreateSubscriptionGroup": "false",
        # Redeliver messages of a killed consumer after 20 s to 30 s instead of two minutes.
        "channelExpiredTimeout": 20_000,
        # Small files: the defaults allocate a gigabyte before the first message.
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
