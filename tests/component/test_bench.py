"""What `make bench` sends and prints."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bench import notices, report
from bench.report import NEW, OLD, Results, Run
from bench.shop import Failed, gateways_of
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2 import EventBatch
from shop_order.domain.ports import TradeState
from shop_order.gateway.payment.alipay.notice import notice_of as alipay_notice_of
from shop_order.gateway.payment.wechat.notice import notice_of as wechat_notice_of
from shop_order.web.dto.wallet_events import answer_of
from shop_sandbox.alipay import keys as alipay_keys
from shop_sandbox.wechat import keys as wechat_keys

ATTEMPT = pb.PaymentInfo(
    order_sn="261123134500123456789012349", payment_sn="P261123134500123", amount_fen=1999
)


def body_of(kind: str, folder: Path) -> bytes:
    message = notices.signer(kind, folder)(7, ATTEMPT)
    head, _, body = message.partition(b"\r\n\r\n")
    assert head.startswith(f"POST /api/v1/payments/notify/{kind.rpartition('/')[2]} HTTP/1.1\r\n".encode())
    assert f"content-length: {len(body)}".encode() in head
    return body


def test_notices_say_that_the_attempt_was_paid(tmp_path: Path) -> None:
    ours = alipay_keys.ensure_keys(tmp_path)
    public: RSAPublicKey = ours.provider.public_key()
    of_alipay = alipay_notice_of(
        body_of("POST notify/alipay", tmp_path),
        {},
        keys=[public],
        app_id=alipay_keys.APP_ID,
        seller_id=alipay_keys.SELLER_ID,
    )
    of_wechat = wechat_notice_of(
        body_of("POST notify/wechat", tmp_path),
        api_v3_key=wechat_keys.ensure_keys(tmp_path).api_v3_key,
        mch_id=wechat_keys.MCH_ID,
        app_ids=wechat_keys.APP_IDS,
    )
    for notice in (of_alipay, of_wechat):
        assert notice.payment_sn == ATTEMPT.payment_sn
        assert (notice.trade.state, notice.trade.amount_fen) == (TradeState.PAID, ATTEMPT.amount_fen)
    (event,) = EventBatch.FromString(
        notices.signer("Deliver wallet.debited", tmp_path)(7, ATTEMPT)
    ).cloud_events
    id, answer = answer_of(event)
    assert json.loads(event)["id"] == id
    assert (answer.type, answer.payment_sn, answer.user_id) == ("wallet.debited", ATTEMPT.payment_sn, 7)
    assert answer.amount_fen == ATTEMPT.amount_fen


def a_run(code: str, per_second: float, method: str = "GetOrder") -> Run:
    return Run("native", method, 16, per_second, 1.0, 2.0, 500.0, 0.0, 0.0, 100.0, 0, 10, code=code)


def test_a_comparison_takes_the_ratios_of_neighbours(tmp_path: Path) -> None:
    """The machine is twice as fast in the second round, and half as fast in the third."""
    rates = [(OLD, 100.0), (NEW, 110.0), (NEW, 210.0), (OLD, 200.0), (OLD, 50.0), (NEW, 60.0)]
    runs = [a_run(code, rate) for code, rate in rates]
    results = Results({}, 1.0, runs=[*runs, a_run(NEW, 300.0, "PayOrder (wechat)")])
    (row,) = report.comparison(results)
    assert (row["old_per_second"], row["new_per_second"]) == (100, 110)
    assert row["per_second_ratio"] == 1.1
    text = report.as_text(results)
    assert "PayOrder (wechat)" in text and "300" in text
    report.write(tmp_path / "results.json", results)
    assert json.loads((tmp_path / "results.json").read_text())["medians"] == [row]


def test_other_code_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"not the code of|does not run"):
        gateways_of(tmp_path, "http://127.0.0.1:1")
