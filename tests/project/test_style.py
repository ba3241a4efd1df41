"""The rules of style that no linter knows (architecture, chapter 10)."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 350  # of src
MAX_TEST_FILE_LINES = 400  # of tests and benchmarks
# A file is a thing a reader looks for, not a paragraph: so many of the product may be shorter than that.
SHORT_FILE_LINES, MAX_SHORT_FILES = 50, 59
# What a reader has to guess at, and how often it may still stand in src. Lower the numbers; never raise one.
RIDDLES = {
    r"\bMOST_[A-Z]": 0,  # MAX_
    r"\bbeliev": 0,  # apply, accept
    r"\bInboxes\b": 0,  # EventPublisher
    r"\b(?:Beside|Fed|Outrun)\b": 0,  # EarlierBills, FeedEntry, VersionConflict
    r"\bStanding\b": 0,  # OrderStanding
    r"\bfor who\b": 0,  # unless
    r"\bof ours\b": 6,
    r"(?i)\bg(?:ive|ave|iven)[ _]?up\b": 3,  # cancel
    r"\blook again\b": 0,  # refresh and retry
    r"\bis no \w+ such\b": 0,  # must be
}
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$|^sync_order_client\.py$")
FORBIDDEN_FILES = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
FORBIDDEN_CLASS = re.compile(r"(?:Impl|Manager)$|^Base(?=[A-Z])|^I(?=[A-Z][a-z])")
UNFINISHED = re.compile("|".join(rf"\b{word}\b" for word in ("TO" + "DO", "FIX" + "ME", "X" * 3)))
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".proto", ".sh", ".sql", ".html"}

# What is imported under another name than the one it is installed by.
DISTRIBUTION_OF = {
    "fastapi_offline": "fastapi-offline",
    "bson": "pymongo",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_status": "grpcio-status",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "jwt": "pyjwt",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
    "throttled": "throttled-py",
    "yaml": "pyyaml",
    "consul": "py-consul",
    "rocketmq": "rocketmq-python-client",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.proto": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry": "opentelemetry-sdk",
    "promql_parser": "promql-parser",
    "v2": "nacos-sdk-python",
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            if not GENERATED.search(path.name):
                yield path


def too_long_functions(tree: ast.AST) -> list[str]:
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def badly_named_classes(tree: ast.AST) -> list[str]:
    return [
        f"class {node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and FORBIDDEN_CLASS.search(node.name)
    ]


def imported_modules(tree: ast.AST) -> set[str]:
    """The full names of all modules a file imports, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def third_party(module: str) -> str | None:
    """The distribution a module comes from, in its normal form; None for the standard library and our own."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in {"shop_order", "shop_sandbox", "tests", "bench"}:
        return None
    two = ".".join(module.split(".")[:2])
    return DISTRIBUTION_OF.get(two) or DISTRIBUTION_OF.get(top) or top.lower().replace("_", "-")


def declared_distributions() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in [*project["dependencies"], *extras])
    return {match.group().lower() for match in found if match}


@pytest.mark.parametrize("path", [*sources("src", "tests", "bench")], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_so_are_its_functions_and_names_say_what_things_are(path: Path) -> None:
    tree = parsed(path)
    lines = path.read_text("utf-8").count("\n")
    most = MAX_FILE_LINES if path.is_relative_to(ROOT / "src") else MAX_TEST_FILE_LINES
    assert lines <= most, f"{lines} lines: split it by verb"
    assert too_long_functions(tree) == []
    assert badly_named_classes(tree) == []
    assert path.name not in FORBIDDEN_FILES, "name it after what is in it"


def has_code(path: Path) -> bool:
    """Whether there is more in a file than its docstring."""
    body = parsed(path).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def test_few_files_are_too_short_to_be_looked_for() -> None:
    short = [
        str(path.relative_to(ROOT))
        for path in sources("src/shop_order")
        if path.read_text("utf-8").count("\n") < SHORT_FILE_LINES and has_code(path)
    ]
    assert len(short) <= MAX_SHORT_FILES, f"fold it into its neighbour, as one of these: {short}"


@pytest.mark.parametrize("riddle", RIDDLES)
def test_words_are_plain(riddle: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources("src")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for _ in re.finditer(riddle, line)
    ]
    assert len(found) <= RIDDLES[riddle], "say it in plain words:\n" + "\n".join(found)


def test_every_library_that_the_code_imports_is_declared() -> None:
    declared = declared_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("src")
        for module in imported_modules(parsed(path))
        if (wanted := third_party(module)) and wanted not in declared
    }
    assert missing == set()


def test_domain_needs_nothing_but_the_standard_library() -> None:
    foreign = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("src/shop_order/domain")
        for module in imported_modules(parsed(path))
        if not module.startswith("shop_order.domain")
        and module.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


def test_use_cases_import_only_domain_and_pkg() -> None:
    foreign = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("src/shop_order/service")
        for module in imported_modules(parsed(path))
        if not module.startswith(("shop_order.domain", "shop_order.service", "shop_order.pkg"))
        and module.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


def test_nothing_is_left_unfinished() -> None:
    rooms = ("src", "tests", "bench", "docs", "script", "deploy", "requirements", ".ci")
    files = [path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in TEXT_SUFFIXES]
    files += [path for path in ROOT.iterdir() if path.name == "Makefile" or path.suffix in TEXT_SUFFIXES]
    left = [str(path.relative_to(ROOT)) for path in files if UNFINISHED.search(path.read_text("utf-8"))]
    assert left == []


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("OrderServiceImpl", True),
        ("ConnectionManager", True),
        ("BaseRepository", True),
        ("IOrderRepository", True),
        ("IllegalTransition", False),
        ("Baseline", False),
        ("IO", False),
    ],
)
def test_the_rule_of_class_names_tells_good_from_bad(name: str, refused: bool) -> None:
    assert bool(badly_named_classes(ast.parse(f"class {name}: ..."))) is refused


def test_the_rule_of_length_counts_every_line_of_a_function() -> None:
    at_the_limit = "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    assert too_long_functions(ast.parse(at_the_limit)) == []
    assert too_long_functions(ast.parse(at_the_limit + "    x = 1\n")) == ["f has 61 lines"]
