"""deploy/compose.yaml against compose's own schema, and what no schema knows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from deploy.stack import consul, mysql, nacos, rocketmq
from shop_order.cmd.cli.root import app as cli
from shop_sandbox.settings import from_environment
from tests.deploy.settings import ROOT, loads

FILE = ROOT / "deploy" / "compose.yaml"
_PART = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
IMAGE = re.compile(rf"(?:{_PART}/)*{_PART}:v?\d+(?:\.\d+){{1,2}}(?:-[\w.-]+)?")
ENDING = {"migrate", "nacos-document", "certificate", "gateway-config"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def schema() -> Any:
    folder = resources.files("check_jsonschema").joinpath("builtin_schemas", "vendor")
    return json.loads(folder.joinpath("compose-spec.json").read_text("utf-8"))


def needs(service: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = service.get("depends_on", {})
    return found


def test_the_file_is_valid_compose(compose: dict[str, Any]) -> None:
    faults = jsonschema.validators.validator_for(schema())(schema()).iter_errors(compose)
    assert [fault.message for fault in faults] == []


def test_a_wrong_file_would_be_found(compose: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "services": {"redis": {"imaeg": "redis:7.0.15"}}}, schema())


def test_it_says_that_it_was_not_run() -> None:
    assert "NOT RUN" in FILE.read_text("utf-8").partition("\nname:")[0]


def test_every_image_has_a_name_and_a_whole_version(services: dict[str, Any]) -> None:
    assert [one["image"] for one in services.values() if not IMAGE.fullmatch(one["image"])] == []


def test_the_engines_are_of_the_lines_that_the_tests_ran_on(services: dict[str, Any]) -> None:
    tested = {
        "mysql": mysql.VERSION,
        "rocketmq-namesrv": rocketmq.VERSION,
        "rocketmq-broker": rocketmq.VERSION,
        "consul": pinned(consul.SOURCE / "go.mod", rf"^\t{consul.MODULE} v([\d.]+)"),
        "nacos": pinned(nacos.SOURCE / "pom.xml", r"nacos-server</artifactId>\s*<version>([\d.]+)"),
    }
    for name, version in tested.items():
        major, minor, *_ = version.split(".")
        assert re.search(rf":v?{major}\.{minor}\.", services[name]["image"]), (name, version)


def pinned(file: Path, pattern: str) -> str:
    """The version that a file of the stack names."""
    found = re.search(pattern, file.read_text("utf-8"), re.MULTILINE)
    assert found
    return found[1]


def test_whoever_stays_says_whether_it_is_well_and_whoever_stores_has_a_volume(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    for name, service in services.items():
        built = "build" in service  # the Dockerfile has a check
        assert name in ENDING or built or service["healthcheck"]["test"], name
    used = {volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == set(compose["volumes"])
    assert all((FILE.parent / name).is_dir() for name in used if name.startswith("."))


def test_what_somebody_waits_for_is_there_and_can_come_true(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, how in needs(service).items():
            ends = how["condition"] == "service_completed_successfully"
            assert ends == (other in ENDING), f"{name} waits for {other}"
            assert (
                how["condition"] != "service_healthy"
                or "healthcheck" in services[other]
                or ("build" in services[other])
            )


def test_nobody_waits_in_a_circle(services: dict[str, Any]) -> None:
    left = {name: set(needs(service)) for name, service in services.items()}
    while left:
        ready = [name for name, others in left.items() if not others & set(left)]
        assert ready, f"a circle in {sorted(left)}"
        for name in ready:
            del left[name]


def ours(services: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, service in services.items():
        if service["image"].startswith("shop-order:") and name != "sandbox":
            yield name, {key: str(value) for key, value in service["environment"].items()}


@pytest.mark.parametrize("openssl", [path for path in [shutil.which("openssl")] if path])
def test_the_certificate_is_made_once_and_again_before_it_ends(
    services: dict[str, Any], tmp_path: Path, openssl: str
) -> None:
    (script,) = services["certificate"]["command"]
    file = tmp_path / "shop.crt"

    def made(days: int) -> bytes:
        """What is there after a start, at which a new one would last so long."""
        words = (
            script.replace("$$", "$").replace("/certs", str(tmp_path)).replace("-days 90", f"-days {days}")
        )
        subprocess.run([*services["certificate"]["entrypoint"], words], check=True, capture_output=True)
        return file.read_bytes()

    first = made(90)
    assert made(90) == first
    file.unlink()
    ends_soon = made(5)
    assert made(90) not in (first, ends_soon)


def known(services: dict[str, Any]) -> set[str]:
    """The names by which one container finds another."""
    networks = (one["networks"]["default"] for one in services.values() if "networks" in one)
    return {*services, *(alias for network in networks for alias in network["aliases"])}


def test_the_settings_are_ours(services: dict[str, Any]) -> None:
    found = dict(ours(services))
    assert set(found) == {"migrate", "order", "relay"}
    for name, environ in found.items():
        loads({**environ, "SHOP_ORDER_SERVER__HOST": "0.0.0.0"})
        for value in environ.values():
            for host in re.findall(r"(?:^|@|//|=)([a-z][\w.-]*):\d", value):
                assert host in known(services), (name, host)
    environ = {key: str(value) for key, value in services["sandbox"]["environment"].items()}
    del environ["SHOP_SANDBOX_CA_FILE"]  # it is there inside only
    assert from_environment(environ).order.partition(":")[0] in known(services)


def test_what_is_started_is_a_command_of_ours(services: dict[str, Any]) -> None:
    group: Any = typer.main.get_command(cli)
    for name, _ in ours(services):
        (command,) = services[name]["command"]
        assert command in group.commands, name


def test_an_instance_registers_the_address_of_its_container(services: dict[str, Any], tmp_path: Path) -> None:
    program = tmp_path / "shop-order"
    program.write_text('#!/bin/sh\necho "$SHOP_ORDER_SERVER__ADVERTISE_HOST $*"\n')
    program.chmod(0o755)
    (tmp_path / "hostname").symlink_to(shutil.which("echo") or "")
    order = services["order"]
    words = [word.replace("$$", "$") for word in (*order["entrypoint"], *order["command"])]
    path = f"{tmp_path}:/usr/bin:/bin"
    done = subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == "-i serve\n"
    assert order["scale"] > 1


def test_only_this_machine_can_call(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published and all(str(port).startswith("127.0.0.1:") for port in published)


def test_the_gateway_balances_over_the_instances_there_are(services: dict[str, Any], tmp_path: Path) -> None:
    _, script, output, *words = services["gateway-config"]["command"]
    assert (script, output) == ("/nginx/render.py", "--output=/conf/nginx.conf")
    file = tmp_path / "nginx.conf"
    render = [sys.executable, str(FILE.parent / "nginx" / "render.py"), f"--output={file}"]
    subprocess.run([*render, *words], check=True)
    for port in (8080, 50051):
        assert set(re.findall(rf"server ([\w-]+):{port} ", file.read_text())) == {"order"}
