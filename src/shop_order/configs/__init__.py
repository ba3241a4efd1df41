"""Typed settings, their defaults and their sources. Only cmd imports this room."""

from shop_order.configs.load import Loaded, Reloaded, load, reload
from shop_order.configs.settings import ConfigError, Settings, key_bytes
from shop_order.configs.show import mask, show

__all__ = ["ConfigError", "Loaded", "Reloaded", "Settings", "key_bytes", "load", "mask", "reload", "show"]
