"""`make docs`: write the tables of settings in `docs/settings*.md` from the code and its texts."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from shop_order.configs import tree
from shop_order.configs.tree import RELOADABLE

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"en": ROOT / "docs/settings.md", "zh": ROOT / "docs/settings.zh-CN.md"}
HEADINGS = {"en": "| key | default | meaning |", "zh": "| 键 | 默认值 | 含义 |"}
TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
NO_VALUE = "–"


def texts() -> dict[str, dict[str, str]]:
    """What each setting means: key, then language."""
    text = (resources.files("shop_order.configs") / "texts" / "settings.yaml").read_text("utf-8")
    found: dict[str, dict[str, str]] = yaml.safe_load(text)
    return found


def packaged_defaults() -> dict[tree.Path, Any]:
    """What holds when nobody sets anything, before the profile."""
    found: dict[tree.Path, Any] = {}
    for file in resources.files("shop_order.configs").iterdir():
        if file.name.endswith(".yaml") and not re.fullmatch(r"app\.\w+\.yaml", file.name):
            found |= tree.flatten(yaml.safe_load(file.read_text("utf-8")))
    return found


def page(language: str) -> str:
    """The page as it should be, with its table made anew."""
    meanings, defaults = texts(), packaged_defaults()
    rows = [HEADINGS[language], "|---|---|---|"]
    for path in tree.leaves():
        key = tree.key_of(path)
        reloads = " ↻" if path in RELOADABLE else ""
        rows.append(f"| `{key}`{reloads} | {_written(defaults[path])} | {meanings[key][language]} |")
    return TABLE.sub(lambda _: "\n".join(rows) + "\n", PAGES[language].read_text("utf-8"))


def _written(value: object) -> str:
    if value is None or value == []:
        return NO_VALUE
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    for language, path in PAGES.items():
        path.write_text(page(language), "utf-8")
