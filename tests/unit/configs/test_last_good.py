"""A last good copy that was damaged by hand is an error in one line, not a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shop_order.configs import ConfigError, tree
from shop_order.configs.last_good import SourceReader
from shop_order.configs.sources import Document


class Emptied:
    """A shared source whose settings have all vanished."""

    kind = identity = "consul"

    def documents(self, env: str) -> list[Document]:
        return []

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("content", ["[", "5", "[[a]]", "- [kv, '{a: [']"])
def test_a_damaged_copy_is_reported(tmp_path: Path, content: str) -> None:
    copy = tmp_path / "config" / "last-good" / "consul-consul.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text(content)
    with pytest.raises(ConfigError):
        for name, text in SourceReader(str(tmp_path), "dev").read(Emptied(), "dev"):
            tree.parse(name, text)
