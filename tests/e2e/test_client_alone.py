"""The client is a distribution of its own: what it needs is in it, or is declared."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text("utf-8"))["project"]
SERVER = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DECLARED = ["grpc", "google", "typing_extensions"]  # what the client's dependencies hold
# Imports a module from the unpacked wheel beside few packages of others, and prints our files.
LOOK = """
import importlib, sys
folder, module, *there = sys.argv[1:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != "shop_order" and top not in there and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, folder)
importlib.import_module(module)
for name, module in sys.modules.items():
    if name.startswith("shop_order") and getattr(module, "__file__", None):
        print(module.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel, unpacked as an installer would."""
    # A copy: a build leaves things beside its sources, and takes what an earlier one has left.
    work = tmp_path_factory.mktemp("client")
    wheels, folder = work / "wheels", work / "installed"
    for name in ("client", "src/shop_order"):
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("build", "__pycache__"))
    options = ["-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(work / "client")], check=True)
    (wheel,) = wheels.glob("shop_order_client-*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def imported(installed: Path, module: str, *there: str) -> list[Path]:
    """Our files that one module brings along, with nothing from others but the packages `there`."""
    look = [sys.executable, "-I", "-c", LOOK, str(installed), module, *there]
    shown = subprocess.run(look, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in shown.splitlines()]


def test_it_needs_grpc_and_protobuf_alone(installed: Path) -> None:
    files = imported(installed, "shop_order.api.client", *DECLARED)
    assert {file.relative_to(installed).parts[:2] for file in files} == {
        ("shop_order", "__init__.py"),
        ("shop_order", "api"),
    }


@pytest.mark.parametrize(
    ("module", "extra"),
    [("events", ["structlog", "orjson"]), ("tracing", ["opentelemetry", "structlog", "orjson"])],
)
def test_what_its_extras_need_of_ours_is_in_it(installed: Path, module: str, extra: list[str]) -> None:
    files = imported(installed, f"shop_order.api.client.{module}", *DECLARED, *extra)
    assert files and all(file.is_relative_to(installed) for file in files)


def test_it_carries_its_types_and_the_wire_s_text(installed: Path) -> None:
    proto = installed / "shop_order" / "api" / "proto"
    assert (installed / "shop_order" / "py.typed").exists()
    assert (proto / "order_pb2.pyi").exists() and (proto / "order.proto").exists()


def test_nothing_of_the_server_is_in_it(installed: Path) -> None:
    rooms = {path.name for path in (installed / "shop_order").glob("[a-z]*") if path.is_dir()}
    assert rooms == {"api", "pkg"}


def test_nothing_of_ours_that_it_imports_is_missing_whenever_it_is_imported(installed: Path) -> None:
    found = {file.relative_to(installed).with_suffix("") for file in installed.glob("shop_order/**/*.py")}
    there = {".".join(path.parts).removesuffix(".__init__") for path in found}
    texts = [file.read_text("utf-8") for file in installed.glob("shop_order/**/*.py")]
    imports = re.compile(r"^ *(?:from|import) (shop_order[\w.]*)", re.MULTILINE)
    assert {name for text in texts for name in imports.findall(text)} - there == set()
    rooms = {path.name for path in found if path.parent.name == "pkg"}
    assert rooms == {"__init__", "address", "url"}


def test_it_has_the_server_s_version_and_bounds() -> None:
    assert CLIENT["version"] == SERVER["version"]
    server = {re.split(r"[>=;]", line)[0]: line for line in SERVER["dependencies"]}
    assert [line for line in CLIENT["dependencies"] if server[re.split(r"[>=;]", line)[0]] != line] == []
    extras = {line for lines in SERVER["optional-dependencies"].values() for line in lines}
    wanted = {line for lines in CLIENT["optional-dependencies"].values() for line in lines}
    assert wanted <= extras | set(SERVER["dependencies"])
