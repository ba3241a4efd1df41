import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.signing import BadToken, Signer, SubmitTokens

NOW_S = 1_795_406_400.5
TOKENS = SubmitTokens(Signer([b"k" * 32]), os.urandom, ttl_s=60)


def test_a_token_serves_its_user_until_it_expires() -> None:
    token = TOKENS.mint(7, NOW_S)
    TOKENS.verify(token, 7, NOW_S + 59)
    for user_id, now_s in ((8, NOW_S), (7, NOW_S + 60)):
        with pytest.raises(BadToken):
            TOKENS.verify(token, user_id, now_s)


def test_two_tokens_differ_and_fit_the_idempotency_key() -> None:
    one, two = TOKENS.mint(7, NOW_S), TOKENS.mint(7, NOW_S)
    assert one != two
    assert one.startswith("st_")
    assert len(one) <= 255


def test_a_longer_life_can_not_be_written_into_it() -> None:
    random, expiry, signature = TOKENS.mint(7, NOW_S).split(".")
    with pytest.raises(BadToken):
        TOKENS.verify(f"{random}.{int(expiry, 16) + 9:x}.{signature}", 7, NOW_S)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    for token in (text, "st_" + text, "st_a.b." + text):
        with pytest.raises(BadToken):
            TOKENS.verify(token, 7, NOW_S)


def test_a_token_is_accepted_as_long_as_its_key_is_kept() -> None:
    token = TOKENS.mint(7, NOW_S)
    kept, dropped = (SubmitTokens(Signer(keys), os.urandom) for keys in ([b"n" * 32, b"k" * 32], [b"n" * 32]))
    kept.verify(token, 7, NOW_S)  # raises BadToken if the old key no longer counts
    with pytest.raises(BadToken):
        dropped.verify(token, 7, NOW_S)
