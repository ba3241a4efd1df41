"""nginx from Debian: the gateway of deploy/nginx in front of the instances of `make run-stack`."""

from __future__ import annotations

import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from deploy.nginx.certificate import for_development
from deploy.nginx.render import Gateway, Instance, render, write
from deploy.stack import processes
from deploy.stack.processes import HOST, apt, run

TLS, PLAIN, STATUS = 28443, 28080, 28088
URLS = (f"nginx://{HOST}:{TLS}",)
PROGRAMS = ("nginx",)
INSTANCES = tuple(Instance(HOST, 28101 + number, 28201 + number) for number in range(3))
PAGES = ("http://localhost:5173", "http://127.0.0.1:5173")  # origins of a storefront under development


def install(root: Path) -> None:
    """Install the Debian package if missing. Raises StackError."""
    if not shutil.which("nginx"):
        apt("nginx")


def start(root: Path) -> None:
    """Start nginx; without instances it answers 503 and UNAVAILABLE. Raises StackError."""
    if not processes.running(root, "nginx"):
        file = _configured(root, INSTANCES)
        processes.start(root, "nginx", [*_command(root, file), "-g", "daemon off;"])


def ready(root: Path) -> bool:
    """Whether it answers over TLS and shows its counters."""
    try:
        requests()
        trust = ssl.create_default_context(cafile=certificate(root))
        url = f"https://{HOST}:{TLS}/healthz"
        with urllib.request.urlopen(url, timeout=5, context=trust):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 503
    except OSError:
        return False


def stop(root: Path) -> None:
    """Stop nginx at once; running requests are cut off."""
    processes.stop(root, "nginx")


def set_instances(root: Path, instances: Sequence[Instance]) -> None:
    """Change the instances behind the running gateway, without interruption. Raises StackError."""
    file = _configured(root, instances)
    run([*_command(root, file), "-t", "-q"])
    run([*_command(root, file), "-s", "reload"])


def requests() -> int:
    """The number of requests since the start, by nginx's counter. Raises OSError."""
    address = f"http://{HOST}:{STATUS}/status"
    with urllib.request.urlopen(address, timeout=2) as counters:
        return int(counters.read().split()[9])


def certificate(root: Path) -> Path:
    """The certificate that clients must trust (`curl --cacert`)."""
    return for_development(_folder(root))[0]


def _configured(root: Path, instances: Sequence[Instance]) -> Path:
    folder = _folder(root)
    (folder / "temp").mkdir(parents=True, exist_ok=True)
    (root / "run").mkdir(exist_ok=True)
    (root / "log").mkdir(exist_ok=True)
    crt, key = for_development(folder)
    gateway = Gateway(
        instances=tuple(instances),
        certificate=str(crt),
        key=str(key),
        listen=(f"{HOST}:{TLS}",),
        listen_plain=(f"{HOST}:{PLAIN}",),
        https_port=TLS,
        status=f"{HOST}:{STATUS}",
        origins=PAGES,
        hsts_s=0,  # otherwise browsers would refuse plain HTTP on all ports of this machine
        user="root" if os.geteuid() == 0 else "",  # other users can't read below /root
        pid=str(folder / "nginx.pid"),
        error_log=str(root / "log" / "nginx.error.log"),
        access_log=str(root / "log" / "nginx.access.json"),
        temp=str(folder / "temp"),
    )
    file = folder / "nginx.conf"
    write(file, render(gateway))
    return file


def _command(root: Path, file: Path) -> list[str]:
    return ["nginx", "-e", str(root / "log" / "nginx.error.log"), "-c", str(file)]


def _folder(root: Path) -> Path:
    return root / "data" / "nginx"
