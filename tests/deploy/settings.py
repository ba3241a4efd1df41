"""Settings that deployment files carry, put to the service itself."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from shop_order.configs import Settings, load
from shop_order.configs.engines import check_scheme

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "SHOP_ORDER_"


def loads(environ: Mapping[str, str]) -> Settings:
    """What the service makes of them. Raises ConfigError for what it would refuse.

    Consul and Nacos are not asked, and what lies in the data directory lies in an empty one.
    """
    environ = dict(environ)
    check_scheme("config", environ.pop(f"{PREFIX}CONFIG__URL", "file:"))
    with tempfile.TemporaryDirectory() as folder:
        environ[f"{PREFIX}DATA_DIR"] = folder
        registry = environ.pop(f"{PREFIX}REGISTRY__URL", "none://")
        check_scheme("registry", registry)
        if registry != "none://":  # names need a registry
            for key, value in environ.items():
                if key.startswith(f"{PREFIX}NEIGHBOURS__") and ":" not in value and "/" not in value:
                    environ[key] = f"{value}:50051"
        return load(environ).settings
