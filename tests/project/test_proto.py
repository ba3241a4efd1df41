"""The published protos and the client: generated code is current, and no promise to a caller is broken."""

import re
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc

from tests.baseline import sync_client
from tests.baseline.promise import PROTOS, SOURCE_ROOT, WELL_KNOWN, broken, compiled, facts, promised

BASELINE = Path(__file__).resolve().parents[1] / "baseline"
SPEC = BASELINE / "spec_9_1.proto"
FIRST_NUMBER_OF_ADDITIONS = 20

SAMPLE = """
syntax = "proto3";
package sample;
option go_package = "shop/sample";

service Orders {
  rpc Get(Question) returns (Answer);
  rpc Watch(stream Question) returns (stream Answer);
}
enum Kind { KIND_NONE = 0; KIND_ONE = 1; }
message Question {
  int64 id = 1;
  string order_sn = 2;
  optional int32 nums = 3;
  repeated string names = 4;
  map<string, string> headers = 5;
  oneof how { string by_name = 6; int64 by_number = 7; }
  Kind kind = 8;
  message Part { float amount = 1; }
  Part part = 9;
}
message Answer { bool ok = 1; }
"""

BREAKING = {
    "field removed": ("  string order_sn = 2;\n", ""),
    "field renamed": ("string order_sn = 2", "string order_no = 2"),
    "field renumbered": ("string order_sn = 2", "string order_sn = 12"),
    "numbers swapped": ("int64 id = 1;\n  string order_sn = 2;", "int64 id = 2;\n  string order_sn = 1;"),
    "type changed": ("int64 id = 1", "int32 id = 1"),
    "type changed in a nested message": ("float amount = 1", "double amount = 1"),
    "message type changed": ("Part part = 9", "Answer part = 9"),
    "single made repeated": ("string order_sn = 2", "repeated string order_sn = 2"),
    "repeated made single": ("repeated string names", "string names"),
    "presence lost": ("optional int32 nums", "int32 nums"),
    "presence gained": ("  int64 id = 1", "  optional int64 id = 1"),
    "name in JSON changed": ("string order_sn = 2", 'string order_sn = 2 [json_name = "sn"]'),
    "moved out of a oneof": ("string by_name = 6; int64", "int64"),
    "oneof renamed": ("oneof how", "oneof why"),
    "map's value changed": ("map<string, string>", "map<string, bytes>"),
    "enum value removed": ("KIND_ONE = 1;", ""),
    "enum value renumbered": ("KIND_ONE = 1", "KIND_ONE = 2"),
    "enum value renamed": ("KIND_ONE", "KIND_FIRST"),
    "message renamed": ("Answer", "Reply"),
    "method removed": ("  rpc Get(Question) returns (Answer);\n", ""),
    "method renamed": ("rpc Get(", "rpc Find("),
    "method's request changed": ("Get(Question)", "Get(Answer)"),
    "method's answer changed": ("Get(Question) returns (Answer)", "Get(Question) returns (Question)"),
    "streaming dropped": ("Watch(stream Question)", "Watch(Question)"),
    "streaming added": ("Get(Question) returns (Answer)", "Get(Question) returns (stream Answer)"),
    "service renamed": ("service Orders", "service OrderService"),
    "package renamed": ("package sample", "package sample.v2"),
    "Go package moved": ("shop/sample", "shop/elsewhere"),
}

HARMLESS = {
    "comment": ("message Answer", "// what comes back\nmessage Answer"),
    "field added": ("bool ok = 1;", "bool ok = 1; string why = 20;"),
    "message added": ("message Answer", "message More { int32 n = 1; }\nmessage Answer"),
    "enum value added": ("KIND_ONE = 1;", "KIND_ONE = 1; KIND_TWO = 2;"),
    "method added": ("rpc Get(", "rpc Put(Question) returns (Answer);\n  rpc Get("),
    "service added": ("enum Kind", "service Other { rpc Get(Question) returns (Answer); }\nenum Kind"),
    "choice added to a oneof": ("int64 by_number = 7;", "int64 by_number = 7; bytes by_hash = 21;"),
    "order of the text changed": (
        "  int64 id = 1;\n  string order_sn = 2;",
        "  string order_sn = 2;\n  int64 id = 1;",
    ),
}


def breaks_of(folder: Path, edit: tuple[str, str]) -> list[str]:
    """What an edit of the sample breaks; the edit must change the text."""
    assert edit[0] in SAMPLE
    (folder / "before.proto").write_text(SAMPLE)
    (folder / "after.proto").write_text(SAMPLE.replace(*edit))
    return broken(facts(compiled(folder, "before.proto")), facts(compiled(folder, "after.proto")))


@pytest.mark.parametrize("edit", BREAKING.values(), ids=BREAKING.keys())
def test_a_change_that_breaks_callers_is_caught(tmp_path: Path, edit: tuple[str, str]) -> None:
    assert breaks_of(tmp_path, edit) != []


@pytest.mark.parametrize("edit", HARMLESS.values(), ids=HARMLESS.keys())
def test_an_addition_is_allowed(tmp_path: Path, edit: tuple[str, str]) -> None:
    assert breaks_of(tmp_path, edit) == []


def test_what_is_broken_is_named() -> None:
    before = {"field order.OrderInfo #5": "optional float total_amount (JSON totalAmount)"}
    assert broken(before, {}) == [
        "field order.OrderInfo #5: was 'optional float total_amount (JSON totalAmount)', is 'gone'"
    ]


def test_no_published_promise_is_broken() -> None:
    assert broken(facts(promised()), facts(compiled(SOURCE_ROOT, *PROTOS))) == []


def test_every_addition_is_promised_too() -> None:
    """An addition outside the baseline could be broken unseen: `make proto-accept` promises it."""
    assert broken(facts(compiled(SOURCE_ROOT, *PROTOS)), facts(promised())) == []


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    beside_python = Path(sys.executable).parent
    plugins = [
        f"--plugin={name}={beside_python / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    assert protoc.main(["protoc", f"-I{SOURCE_ROOT}", f"-I{WELL_KNOWN}", *plugins, *outputs, *PROTOS]) == 0
    generated = {path.relative_to(tmp_path): path.read_text("utf-8") for path in tmp_path.rglob("*_pb2*.py*")}
    api = SOURCE_ROOT / "shop_order" / "api"
    committed = {
        path.relative_to(SOURCE_ROOT): path.read_text("utf-8")
        for path in api.rglob("*_pb2*.py*")
        if "__pycache__" not in path.parts
    }
    assert len(generated) == 4 * len(PROTOS)
    assert generated == committed, "run `make proto`"


def test_specification_9_1_is_kept_by_every_name_and_number() -> None:
    spec = facts(compiled(BASELINE, SPEC.name))
    assert len(spec) > 90
    assert broken(spec, facts(compiled(SOURCE_ROOT, PROTOS[0]))) == []


def test_specification_9_1_stands_in_order_proto_word_for_word() -> None:
    ours = iter((SOURCE_ROOT / PROTOS[0]).read_text("utf-8").splitlines())
    missing = [line for line in SPEC.read_text("utf-8").splitlines() if line.strip() and line not in ours]
    assert missing == []


def test_additions_to_the_messages_of_9_1_begin_at_field_20() -> None:
    spec = facts(compiled(BASELINE, SPEC.name))
    messages = {what for what in spec if what.startswith("message ")}
    added = set(facts(compiled(SOURCE_ROOT, PROTOS[0]))) - set(spec)
    too_low = [
        what
        for what in added
        if (match := re.fullmatch(r"field (.+) #(\d+)", what))
        and f"message {match[1]}" in messages
        and int(match[2]) < FIRST_NUMBER_OF_ADDITIONS
    ]
    assert too_low == []


def test_the_synchronous_client_is_current() -> None:
    assert sync_client.TARGET.read_text("utf-8") == sync_client.generated(), "run `make proto`"
