"""What the .proto files promise to callers, as flat facts that can be compared.

`make proto-accept` runs this module: it adds what is new to the promise, and refuses what breaks it.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOT = ROOT / "src"
PROTOS = (
    "shop_order/api/proto/order.proto",
    "shop_order/api/proto/shop_order.proto",
    "shop_order/api/proto/shop/neighbours.proto",
)
PROMISED = Path(__file__).with_name("promised.binpb")
WELL_KNOWN = Path(protoc.__file__).with_name("_proto")

Facts: TypeAlias = dict[str, str]


def compiled(root: Path, *files: str) -> FileDescriptorSet:
    """Compile .proto files below `root`. Raises ValueError when protoc refuses them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        arguments = ["protoc", f"-I{root}", f"-I{WELL_KNOWN}", f"--descriptor_set_out={out}", *files]
        if protoc.main(arguments) != 0:
            raise ValueError(f"protoc refuses {files}")
        return FileDescriptorSet.FromString(out.read_bytes())


def promised() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(PROMISED.read_bytes())


def facts(files: FileDescriptorSet) -> Facts:
    """Everything a caller may rely on: on the wire, in JSON and in generated code."""
    found: Facts = {}
    for file in files.file:
        found[f"package {file.package}: syntax"] = file.syntax
        found[f"package {file.package}: go_package"] = file.options.go_package
        for message in file.message_type:
            found.update(_message(f"{file.package}.{message.name}", message))
        for enum in file.enum_type:
            found.update(_enum(f"{file.package}.{enum.name}", enum))
        for service in file.service:
            found.update(_service(f"{file.package}.{service.name}", service))
    return found


def broken(before: Facts, after: Facts) -> list[str]:
    """The promises of `before` that `after` does not keep; additions are not among them."""
    return [
        f"{what}: was {fact!r}, is {after.get(what, 'gone')!r}"
        for what, fact in before.items()
        if after.get(what) != fact
    ]


def _message(name: str, message: DescriptorProto) -> Iterator[tuple[str, str]]:
    yield f"message {name}", "map entry" if message.options.map_entry else "message"
    for field in message.field:
        yield f"field {name} #{field.number}", _field(message, field)
    for nested in message.nested_type:
        yield from _message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield from _enum(f"{name}.{enum.name}", enum)


def _field(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
    presence = "explicit " if field.proto3_optional else ""
    kind = field.type_name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    choice = ""
    if field.HasField("oneof_index") and not field.proto3_optional:
        choice = f" in {message.oneof_decl[field.oneof_index].name}"
    return f"{presence}{label} {kind} {field.name} (JSON {field.json_name}){choice}"


def _enum(name: str, enum: EnumDescriptorProto) -> Iterator[tuple[str, str]]:
    yield f"enum {name}", "enum"
    for value in enum.value:
        yield f"value {name}.{value.name}", str(value.number)


def _service(name: str, service: ServiceDescriptorProto) -> Iterator[tuple[str, str]]:
    yield f"service {name}", "service"
    for method in service.method:
        taken = "stream " * method.client_streaming + method.input_type
        given = "stream " * method.server_streaming + method.output_type
        yield f"method {name}/{method.name}", f"{taken} -> {given}"


def main() -> int:
    now = compiled(SOURCE_ROOT, *PROTOS)
    breaks = broken(facts(promised()), facts(now)) if PROMISED.exists() else []
    if breaks:
        sys.stderr.write("these changes break callers, so nothing was written:\n")
        sys.stderr.writelines(f"  {line}\n" for line in breaks)
        return 1
    PROMISED.write_bytes(now.SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
