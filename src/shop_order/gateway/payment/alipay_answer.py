"""Answers of Alipay's gateway: the signature covers the very bytes of the node, which are read afterwards."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.gateway.payment import rsa2
from shop_order.gateway.payment.charset import codec_of, outline

MOST_ANSWER = 256 * 1024  # bytes


def node_of(content: bytes, charset: str, method: str, key: RSAPublicKey) -> dict[str, str]:
    """What is said in answer to `method`; only texts say something. Raises ValueError, RecursionError."""
    codec = codec_of(charset or "utf-8")  # as we asked for it
    text = outline(content, codec)
    name = f'"{method.replace(".", "_")}_response":'
    start = text.index(name) + len(name)
    _, length = json.JSONDecoder().raw_decode(text[start:])
    signed = content[start : start + length]
    whole: Any = json.loads(text)
    sign = whole.get("sign") if isinstance(whole, dict) else None
    if not isinstance(sign, str):
        raise ValueError("this is no signed answer")
    if not rsa2.verifies(key, signed, sign):
        raise ValueError("the answer's signature is not Alipay's")
    node: Any = json.loads(signed.decode(codec))
    if not isinstance(node, dict):
        raise ValueError("the answer says nothing")
    return {name: value for name, value in node.items() if isinstance(value, str)}
