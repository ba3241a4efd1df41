"""A newcomer's first `make`: what is installed is pinned, and what is missing is named."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIN_LINE = re.compile(r"^[a-z0-9._-]+==\S+", re.MULTILINE)
PIN = re.compile(r"^([a-z0-9._-]+)==\S+", re.MULTILINE)
DECLARED = re.compile(r"^[A-Za-z0-9._-]+")


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")


def declared(lines: list[str]) -> set[str]:
    return {match.group().lower().replace("_", "-") for line in lines if (match := DECLARED.match(line))}


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert declared(project["project"]["dependencies"]) <= set(PIN.findall(lock("runtime")))
    assert declared(project["dependency-groups"]["dev"]) <= set(PIN.findall(lock("dev")))
    extras = project["project"]["optional-dependencies"]
    named = ("mysql", "redis", "rocketmq", "mongo", "nacos", "otel")
    engines = [line for name in named for line in extras[name]]
    assert declared(engines) <= set(PIN.findall(lock("engines")))
    assert declared(project["build-system"]["requires"]) == set(PIN.findall(lock("build")))


@pytest.mark.parametrize("name", ["build", "runtime", "engines", "dev"])
def test_every_pin_carries_hashes_and_no_index_is_named(name: str) -> None:
    blocks = re.split(r"\n(?=\S)", lock(name).strip())
    assert [block for block in blocks if not PIN.match(block)] == []
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in lock(name)


def test_the_locks_agree_where_they_overlap() -> None:
    runtime, engines, dev = (set(PIN_LINE.findall(lock(name))) for name in ("runtime", "engines", "dev"))
    assert runtime <= engines
    shared = set(PIN.findall(lock("engines"))) & set(PIN.findall(lock("dev")))
    assert {pin for pin in dev if pin.partition("==")[0] in shared} <= engines


def python_without_venv(folder: Path) -> None:
    """A Python as Debian ships it without python3-venv: `import ensurepip` fails."""
    fake = folder / "python3"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)


def old_python(folder: Path) -> None:
    fake = folder / "python3"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)


def make_venv(work: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in an empty folder, with nothing on the PATH but `tools`."""
    shell = shutil.which("sh")
    assert shell
    for name in ("cat", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    environment = {"PATH": str(tools), "HOME": str(work)}
    script = ROOT / "script" / "make-venv.sh"
    return subprocess.run(
        [shell, script], cwd=work, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


def test_without_the_venv_module_the_package_is_named(tmp_path: Path, tools: Path) -> None:
    python_without_venv(tools)
    answer = make_venv(tmp_path, tools)
    assert answer.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in answer.stderr


def test_without_a_fitting_python_it_says_what_to_install(tmp_path: Path, tools: Path) -> None:
    old_python(tools)
    answer = make_venv(tmp_path, tools)
    assert answer.returncode == 1
    assert "No Python 3.11 or newer was found" in answer.stderr
    assert "apt-get install python3 python3-venv" in answer.stderr


def test_a_folder_that_was_moved_gets_a_new_environment(tmp_path: Path, tools: Path) -> None:
    (tools / "python3").symlink_to(sys.executable)
    stale = tmp_path / ".venv" / "bin"
    stale.mkdir(parents=True)
    (stale / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".made-for").write_text("/somewhere/else\n")
    (tmp_path / ".venv" / "left-over").touch()
    answer = make_venv(tmp_path, tools)
    assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / ".venv" / "left-over").exists()
    assert (tmp_path / ".venv" / ".made-for").read_text() == f"{os.path.realpath(tmp_path)}\n"
