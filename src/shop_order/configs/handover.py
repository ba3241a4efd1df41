"""The settings on their way to a process of our own, which then has the very same as its parent."""

import json

from pydantic import SecretStr

from shop_order.configs.settings import Settings


def to_text(settings: Settings) -> str:
    """JSON with the secrets in it: for a pipe between two processes, and nothing else."""
    return json.dumps(settings.model_dump(), default=_revealed)


def from_text(text: str) -> Settings:
    """The settings again. Raises ValueError for what `to_text` did not write."""
    return Settings.model_validate_json(text)


def _revealed(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"a setting of type {type(value).__name__} can't be handed over")
