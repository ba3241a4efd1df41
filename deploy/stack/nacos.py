"""Nacos 3.1 for configuration: a third-party rebuild from Maven Central, with our own launcher."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import urllib.error
import urllib.request
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST, run, say

PORT = 28848  # 29848 and 29849 are its gRPC ports
URLS = (f"nacos://{HOST}:{PORT}?namespace=order-service&group=DEFAULT_GROUP",)
PROGRAMS = ("nacos",)
SOURCE = Path(__file__).with_suffix("")
USER = "nobody"
MEMORY = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC")
PROPERTIES = {
    "nacos.server.contextPath": "/nacos",
    "server.address": HOST,
    "nacos.inetutils.ip-address": HOST,
    "nacos.core.auth.enabled": "false",
    "nacos.core.auth.admin.enabled": "false",
    "nacos.core.auth.console.enabled": "false",
    "nacos.core.auth.system.type": "nacos",
    "nacos.istio.mcp.server.enabled": "false",
    "nacos.k8s.sync.enabled": "false",
    "spring.autoconfigure.exclude": (
        "org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration,"
        "org.springframework.boot.autoconfigure.security.servlet.UserDetailsServiceAutoConfiguration"
    ),
    # Counters of requests, at /nacos/actuator/prometheus.
    "management.endpoints.web.exposure.include": "prometheus,health",
    # The embedded database may need more than the default of three seconds on a busy machine.
    "db.pool.config.connectionTimeout": "60000",
    "management.elastic.metrics.export.enabled": "false",
    "management.influx.metrics.export.enabled": "false",
}


def install(root: Path) -> None:
    """Fetch the jars with Maven and compile the launcher."""
    processes.ensure_tools("java")  # also if the cache came from another machine
    cache = root / "cache" / "nacos"
    pom, launcher = SOURCE / "pom.xml", SOURCE / "NacosStandalone.java"
    if processes.up_to_date(cache / "classes" / "NacosStandalone.class", pom, launcher):
        return
    cache.mkdir(parents=True, exist_ok=True)
    processes.maven(pom, cache / "lib")
    processes.ensure_tools("javac")
    (cache / "classes").mkdir(exist_ok=True)
    run(["javac", "-nowarn", "-d", "classes", "-cp", "lib/*", str(launcher)], cwd=cache)


def start(root: Path) -> None:
    """Start Nacos, as an unprivileged user if we are root."""
    start_on(root, "nacos", PORT, root / "data" / "nacos")


def start_on(root: Path, name: str, port: int, home: Path) -> None:
    """Start a server on this port; port + 1000 and port + 1001 must be free too."""
    cache = root / "cache" / "nacos"
    (home / "conf").mkdir(parents=True, exist_ok=True)
    lines = [f"{key}={value}\n" for key, value in {"nacos.server.main.port": str(port), **PROPERTIES}.items()]
    (home / "conf" / "application.properties").write_text("".join(lines))
    # hessian 4 must come before 3.3.6: otherwise pushes fail silently.
    libraries = f"{cache}/classes:{cache}/lib/hessian-4.0.63.jar:{cache}/lib/*"
    listen = f"-Dnacos.remote.grpc.listen.ip={HOST}"  # its gRPC server reads this from no file
    switches = ("-Dnacos.standalone=true", "-Dnacos.functionMode=config", f"-Dnacos.home={home}", listen)
    config = f"--spring.config.additional-location=file:{home}/conf/"
    command = ["java", *MEMORY, *switches, f"-Duser.home={home}", "-cp", libraries, "NacosStandalone", config]
    processes.start(root, name, [*_unprivileged(home), *command], cwd=home)


def ready(root: Path) -> bool:
    """Whether Nacos is ready; creates the service's namespace if missing."""
    return ready_on(PORT)


def ready_on(port: int) -> bool:
    """The same for a server on this port."""
    core = f"http://{HOST}:{port}/nacos/v3/admin/core"
    if _status(f"{core}/state/readiness") != 200:
        return False
    wanted = b"namespaceId=order-service&namespaceName=order-service"
    known = _status(f"{core}/namespace?namespaceId=order-service") == 200
    return known or _status(f"{core}/namespace", wanted) == 200


def stop(root: Path) -> None:
    """Stop Nacos; keep the data."""
    processes.stop(root, "nacos")


def _unprivileged(home: Path) -> list[str]:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in home.parents):
        say(f"nacos: runs as root, because {USER} can't access {home}")
        return []
    user = pwd.getpwnam(USER)
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _status(url: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(url, data=body, timeout=2) as answer:  # noqa: S310 - our own address
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
