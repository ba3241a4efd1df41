"""`make stack`: programs that outlive their command, started together, each failure told by itself."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.stack import __main__ as stack
from deploy.stack import (
    consul,
    golang,
    instances,
    mariadb,
    mongo,
    mysql,
    nacos,
    processes,
    redis,
    rocketmq,
    tidb,
)
from deploy.stack.processes import StackError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True);"
    " time.sleep(60)",
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A stack's folder; what a test started there ends with it."""
    yield tmp_path
    for file in (tmp_path / "run").glob("*.pid"):
        processes.stop(tmp_path, file.stem, timeout_s=0)


class Fake:
    """An engine that is a file."""

    URLS: tuple[str, ...] = ("fake://127.0.0.1:1",)
    PROGRAMS: tuple[str, ...] = ()

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.did: list[str] = []

    def install(self, root: Path) -> None:
        self.did.append("install")
        if self.fails:
            raise StackError("there is no such package")

    def start(self, root: Path) -> None:
        self.did.append("start")

    def ready(self, root: Path) -> bool:
        return "start" in self.did

    def stop(self, root: Path) -> None:
        self.did.append("stop")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, root: Path) -> dict[str, Fake]:
    found = {"first": Fake(), "second": Fake(fails=True), "third": Fake()}
    monkeypatch.setattr(stack, "ROOT", root)
    monkeypatch.setattr(stack, "ENGINES", tuple(found))
    monkeypatch.setattr(stack, "engine", lambda name: found[name])
    return found


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["stack", *words])
    return stack.main()


def test_a_program_runs_until_it_is_stopped(root: Path) -> None:
    processes.start(root, "one", SLEEPER)
    pid = processes.running(root, "one")
    assert pid and os.getsid(pid) == pid, "a Ctrl-C at the terminal must not reach it"
    processes.start(root, "one", SLEEPER)
    assert processes.running(root, "one") == pid, "it runs already"
    processes.stop(root, "one")
    assert not processes.running(root, "one") and not (root / "run" / "one.pid").exists()


def test_one_that_does_not_listen_is_killed(root: Path) -> None:
    processes.start(root, "one", STUBBORN)
    processes.wait("it", lambda: "here" in (root / "log" / "one.log").read_text())
    processes.stop(root, "one", timeout_s=0.2)
    assert not (root / "run" / "one.pid").exists()


def test_a_number_that_another_program_has_by_now_does_not_count(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run" / "one.pid").write_text(f"{os.getpid()} 1")
    assert processes.running(root, "one") == 0
    processes.stop(root, "one")  # or we would not be here any more
    assert not (root / "run" / "one.pid").exists(), "run-stack would count it among its instances"


def test_what_only_one_may_do_is_waited_for() -> None:
    order: list[str] = []

    def second() -> None:
        with processes.exclusive("a-test"):
            order.append("second")

    with processes.exclusive("a-test"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_failed_command_is_one_line_with_what_it_said_last() -> None:
    with pytest.raises(StackError, match=r"failed: no luck$"):
        processes.run([sys.executable, "-c", "import sys; sys.exit('no luck')"])


def test_one_engine_that_fails_stops_no_other(
    engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "up") == 1
    said = capsys.readouterr().err
    assert "second: FAILED: there is no such package" in said
    assert 'failed: second; fix the cause and run make stack ENGINES="second"; logs: ' in said
    assert [one.did for one in engines.values()] == [["install", "start"], ["install"], ["install", "start"]]


def test_each_engine_can_be_had_alone(
    engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "up", "third") == 0
    assert "third     fake://127.0.0.1:1" in capsys.readouterr().out
    assert not engines["first"].did
    assert command(monkeypatch, "urls") == 0
    assert capsys.readouterr().out == "fake://127.0.0.1:1\n"
    assert command(monkeypatch, "down", "third") == 0
    assert engines["third"].did == ["install", "start", "stop"]


def test_again_starts_nothing_twice(engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "up", "first") == command(monkeypatch, "up", "first") == 0
    assert engines["first"].did == ["install", "start", "install"]


def test_an_engine_that_is_not_known_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "up", "oracle") == 1
    assert capsys.readouterr().err.startswith("stack: unknown engine oracle: one of mariadb, mysql, ")


def test_a_port_that_somebody_else_has_is_named(
    engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        engines["first"].URLS = (f"fake://127.0.0.1:{port}/x",)
        assert command(monkeypatch, "up", "first") == 1
    assert f"port {port} is taken by a program that this stack did not start" in capsys.readouterr().err
    assert engines["first"].did == ["install"]


def test_what_answers_but_is_another_checkouts_is_not_taken_for_ours(
    engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engines["first"].PROGRAMS = ("first",)
    monkeypatch.setattr(engines["first"], "ready", lambda _: True)
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        engines["first"].URLS = (f"fake://127.0.0.1:{theirs.getsockname()[1]}",)
        assert command(monkeypatch, "up", "first") == 1
    assert "another checkout" in capsys.readouterr().err
    assert command(monkeypatch, "urls", "first") == 0
    assert command(monkeypatch, "status", "first") == 0
    assert capsys.readouterr().out == f"first     not running  {engines['first'].URLS[0]}\n"


def test_an_engine_that_ends_at_its_start_is_told_at_once_with_what_it_said(
    engines: dict[str, Fake], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Dies(Fake):
        PROGRAMS = ("dying",)

        def start(self, root: Path) -> None:
            processes.start(root, "dying", [sys.executable, "-c", "raise SystemExit('no disk')"])

        def ready(self, root: Path) -> bool:
            return False

    engines["first"] = Dies()
    began = time.monotonic()
    assert command(monkeypatch, "up", "first") == 1
    assert time.monotonic() - began < stack.READY_TIMEOUT_S / 10
    assert "first: FAILED: dying exited: no disk" in capsys.readouterr().err


def test_down_stops_also_what_was_only_started_on_request(
    engines: dict[str, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines["extra"] = Fake()
    monkeypatch.setattr(stack, "OPTIONAL_ENGINES", ("extra",))
    monkeypatch.setattr(stack, "_stop_shop", lambda: None)  # one that runs here is none of ours
    assert command(monkeypatch, "install", "extra") == 0
    assert command(monkeypatch, "down") == 0
    assert [one.did[-1] for one in engines.values()] == ["stop"] * 4


def test_without_a_go_one_is_fetched_once_for_all_that_are_built_with_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    brought = root / "cache" / "go" / "go" / "bin" / "go"

    def run(words: list[str], **_: object) -> str:
        ran.append(words)
        made = Path(words[words.index("-o") + 1]) if "-o" in words else brought
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
        return ""

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(golang, "run", run)
    for one in (consul, tidb):
        one.install(root)
        one.install(root)
    fetching, *building = ran
    assert golang.PACKAGE in fetching
    assert [words[3:5] for words in building] == [[str(brought), "build"]] * 2


@pytest.mark.parametrize("one", [mongo, nacos, rocketmq])
def test_a_cache_that_another_machine_filled_does_not_stand_for_java(
    one: stack.Engine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in ("mongo/StandIn.class", "nacos/classes/NacosStandalone.class"):
        (root / "cache" / made).parent.mkdir(parents=True)
        (root / "cache" / made).touch()
    complete = root / "cache" / "rocketmq" / rocketmq.VERSION / "lib" / ".complete"
    complete.parent.mkdir(parents=True)
    complete.touch()
    needed: list[str] = []
    monkeypatch.setattr(processes, "ensure_tools", lambda *tools: needed.extend(tools))
    one.install(root)
    assert needed == ["java"]


@pytest.mark.parametrize("found", ["", processes.NO_SERVICES, "#!/bin/sh\nexit 101\n"])
def test_packages_start_no_services_and_a_policy_of_the_machine_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    policy = root / "policy-rc.d"
    if found:
        policy.write_text(found)
    during: list[str] = []
    monkeypatch.setattr(processes, "POLICY", policy)
    monkeypatch.setattr(processes, "_installed", lambda _: False)
    monkeypatch.setattr(processes, "run", lambda *_, **__: during.append(policy.read_text()))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    processes.apt("redis-server")
    assert during and all("exit 101" in text for text in during)
    foreign = found not in ("", processes.NO_SERVICES)
    assert policy.exists() is foreign and (not foreign or policy.read_text() == found)


@pytest.mark.parametrize("one", [mariadb, mysql])
def test_data_whose_making_was_cut_short_are_made_again(
    one: stack.Engine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def run(words: list[str]) -> None:
        (folder,) = (Path(word.removeprefix("--datadir=")) for word in words if word.startswith("--datadir="))
        assert not list(folder.iterdir())
        (folder / "mysql").mkdir()
        (folder / "mysql.ibd").touch()
        made.append(folder)
        if len(made) == 1:
            raise StackError("killed")

    for name, done in (("run", run), ("start", lambda *_: None), ("wait", lambda *_, **__: None)):
        monkeypatch.setattr(processes, name, done)
    with pytest.raises(StackError):
        one.start(root)
    for _ in range(2):
        one.start(root)
    assert len(made) == 2
    assert [path.name for path in (root / "data").iterdir()] == list(one.PROGRAMS)


def test_a_cluster_whose_making_was_cut_short_is_emptied_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[object, ...]] = []

    def answer(port: int, *words: str) -> str:
        done.append((port, *words))
        return "PONG" if words == ("ping",) else "cluster_known_nodes:1"

    monkeypatch.setattr(processes, "start", lambda *_, **__: None)
    monkeypatch.setattr(redis, "answer", answer)
    monkeypatch.setattr(redis, "run", lambda words: done.append(tuple(words[1:3])))
    redis.start(root)
    assert done[-4:] == [*((port, "cluster", "reset") for port in redis.CLUSTER), ("--cluster", "create")]


@pytest.mark.parametrize(("code", "brought"), [(0, []), (127, [*mysql.LIBRARIES])])
def test_a_cached_mysql_gets_the_libraries_that_this_machine_lacks(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, brought: list[str]
) -> None:
    server = root / "cache" / "mysql" / "bin" / "mysqld"
    server.parent.mkdir(parents=True)
    server.write_text(f"#!/bin/sh\nexit {code}\n")
    server.chmod(0o755)
    asked: list[str] = []
    monkeypatch.setattr(processes, "apt", lambda *packages: asked.extend(packages))
    mysql.install(root)
    assert asked == brought


def test_every_port_lies_below_those_that_the_kernel_lends_to_any_connection() -> None:
    lent_from = 32768  # Linux' default
    named = [
        int(port) for name in stack.ENGINES + stack.OPTIONAL_ENGINES for port in ports_of(stack.engine(name))
    ]
    cluster = [port + 10_000 for port in redis.CLUSTER]  # where its nodes talk
    nacos_grpc = [nacos.PORT + 1_000, nacos.PORT + 1_001]
    served = [first + instances.MAX_INSTANCES for first in (instances.HTTP, instances.GRPC)]
    assert len(named) >= 12
    assert max(named + cluster + nacos_grpc + served) < lent_from


def ports_of(engine: stack.Engine) -> list[str]:
    """Those in its URLs."""
    return [port for url in engine.URLS for port in re.findall(r":(\d+)", url)]


@pytest.mark.parametrize("change", [instances.StackShop.add, instances.StackShop.remove])
def test_an_instance_joins_or_leaves_only_what_runs(
    root: Path, change: Callable[[instances.StackShop], int]
) -> None:
    with pytest.raises(StackError, match=r"nothing runs in .*: make run-stack"):
        change(instances.StackShop(root, "mysql"))
    assert not (root / "run").exists()
