"""The document as text."""

from __future__ import annotations

import json
from typing import Any

import yaml


def as_json(document: dict[str, Any]) -> str:
    """JSON for programs, readable in a diff."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def as_yaml(document: dict[str, Any]) -> str:
    """YAML for people; anchors would surprise tools, so there are none."""
    return yaml.dump(document, Dumper=_Plain, allow_unicode=True, sort_keys=False, width=110)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write a thing again rather than point at it."""
        return True
