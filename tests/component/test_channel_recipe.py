"""The recipe for a payment channel in CONTRIBUTING is complete.

In a copy of the sources, a new provider is added at the named places and nowhere else; then it is paid with,
refunded and reconciled.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ROOT / "tests/component/toy_channel_checks.py"
PLUGINS = ("no:cacheprovider", "pytest_asyncio.plugin", "pytest_timeout")
# A provider that the protos have no number for needs one, and its names.
NUMBER = {
    "domain/status.py": (("    BALANCE = 3\n", "    BALANCE = 3\n    TOY = 9\n"),),
    "web/texts/en.yaml": (("  channel:\n", "  channel:\n    toy: Toy\n"),),
    "web/texts/zh.yaml": (("  channel:\n", "  channel:\n    toy: 玩具\n"),),
}
# The places of the recipe, in its order.
PLACES = {
    "gateway/payment/__init__.py": (
        ("import alipay", "import toy, alipay"),
        ("alipay.ENTRY,\n", "alipay.ENTRY,\n    PaymentType.TOY: toy.ENTRY,\n"),
    ),
    "configs/settings.py": (
        (
            "class Pay(Section):\n",
            'class Toy(Channel):\n    required = ("key", "seller")\n\n    key: types.OptText\n'
            "    seller: types.OptId\n\n\nclass Pay(Section):\n",
        ),
        ("    alipay: Alipay\n", "    alipay: Alipay\n    toy: Toy\n"),
    ),
    "configs/pay.yaml": (
        ("  alipay:\n", "  toy:\n    key: key-of-the-toy\n    seller: toy-seller\n  alipay:\n"),
    ),
    "configs/app.production.yaml": (("  alipay:\n", "  toy:\n    key: null\n    seller: null\n  alipay:\n"),),
    "configs/texts/settings.yaml": (
        (
            "PAY__ALIPAY__GATEWAY:\n",
            "PAY__TOY__KEY:\n  en: a key\n  zh: 密钥\nPAY__TOY__SELLER:\n  en: a seller\n  zh: 卖家\n"
            "PAY__ALIPAY__GATEWAY:\n",
        ),
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sources with the toy."""
    folder = tmp_path_factory.mktemp("recipe") / "src"
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    package = folder / "shop_order/gateway/payment/toy"
    package.mkdir()
    shutil.copy(ROOT / "tests/world/toy_channel.py", package / "__init__.py")
    for name, edits in (NUMBER | PLACES).items():
        file = folder / "shop_order" / name
        text = file.read_text("utf-8")
        for old, new in edits:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        file.write_text(text, "utf-8")
    yield folder
    shutil.rmtree(folder)


def ran(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command with the copy's packages."""
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    env |= {"PYTHONPATH": os.pathsep.join((str(copy), str(ROOT))), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.engine("sqlite", "memory", "embedded")
def test_a_channel_that_follows_the_recipe_works(copy: Path) -> None:
    done = ran(copy, "-m", "pytest", "-q", "-x", *(f"-p{name}" for name in PLUGINS), str(CHECKS))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_recipe_names_these_places() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipe = text[text.index("**A payment channel**") : text.index("**An error**")]
    named = re.findall(r"`([\w./]+)` \((\d)\)", recipe)
    simulator = "src/shop_sandbox/providers.py"  # the toy's provider is in memory
    assert named == [(name, str(number)) for number, name in enumerate([*PLACES, simulator], 1)]
