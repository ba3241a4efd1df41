"""Plays WeChat's own browser for pages on this machine: it names itself so, and gives them WeixinJSBridge.

A page is fetched here and shown below /wechat/browser/{host}:{port}/, with its links rewritten to stay inside
and the bridge's script added. The bridge asks the buyer and pays, as WeChat does, for a valid paySign only.
"""

import re
from urllib.parse import urlsplit

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shop_sandbox.http import bounded_body
from shop_sandbox.payments.calls import is_local_url

PREFIX = "/wechat/browser"
USER_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.50(0x18003239) NetType/WIFI Language/zh_CN"
)
TIMEOUT_S = 10.0
MAX_PAGE_BYTES = 2 * 1024 * 1024
_LINK = re.compile(r'\b(href|src|action)="(/(?!/)|https?://(?:127\.0\.0\.1|localhost)(?::\d+)?/)')
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)
_PASSED_ON = ("accept", "accept-language", "content-type")
BRIDGE = """\
// WeChat's bridge, as far as paying needs it. The sandbox verifies the signature of each call.
window.WeixinJSBridge = {
  async invoke(name, parameters, callback) {
    if (name !== "getBrandWCPayRequest") { callback({ err_msg: "system:function_not_exist" }); return; }
    const say = (end, more) => callback({ err_msg: `get_brand_wcpay_request:${end}`, ...more });
    const send = async (path) => {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(parameters) });
      return answer.json();
    };
    try {
      const asked = await send("/wechat/jsapi");
      if (asked.err_msg) { say("fail", { err_desc: asked.err_desc }); return; }
      if (!window.confirm(`${asked.description}\\n\\u00a5${asked.amount}`)) { say("cancel"); return; }
      const paid = await send("/wechat/jsapi/pay");
      callback(paid);
    } catch (error) { say("fail", { err_desc: String(error) }); }
  },
};
document.addEventListener("DOMContentLoaded", () => {
  document.dispatchEvent(new Event("WeixinJSBridgeReady"));
});
"""


def inside(url: str) -> str:
    """The address of a page inside the browser. Raises HTTPException 400 unless it is on this machine."""
    parts = urlsplit(url.strip())
    if not is_local_url(f"{parts.scheme}://{parts.netloc}/"):
        raise HTTPException(400, "only pages on this machine")
    secure = "s/" if parts.scheme == "https" else "/"
    query = f"?{parts.query}" if parts.query else ""
    return f"{PREFIX}{secure}{parts.netloc}{parts.path or '/'}{query}"


async def show(request: Request) -> Response:
    """Fetch a page as WeChat would, and show it inside."""
    host = request.path_params["host"]
    scheme = "https" if request.url.path.startswith(f"{PREFIX}s/") else "http"
    origin = f"{scheme}://{host}"
    if not is_local_url(f"{origin}/"):
        raise HTTPException(400, "only pages on this machine")
    start = f"{PREFIX}{'s' if scheme == 'https' else ''}/{host}/"
    raw: bytes = request.scope["raw_path"]
    url = f"{origin}/{raw.decode('ascii')[len(start) :]}"
    if request.url.query:
        url = f"{url}?{request.url.query}"
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    body = await bounded_body(request)
    try:
        # This machine's own certificates are not from a public authority.
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, verify=False) as client:  # noqa: S501
            answer = await client.request(
                request.method, url, content=body, headers={**headers, "user-agent": USER_AGENT}
            )
    except httpx.HTTPError as error:
        raise HTTPException(502, f"{type(error).__name__}: {error}") from None
    if answer.is_redirect:
        return RedirectResponse(inside(str(answer.url.join(answer.headers["location"]))), 303)
    if len(answer.content) > MAX_PAGE_BYTES:
        raise HTTPException(502, "the page is too large")
    kind = answer.headers.get("content-type", "")
    kept = {"content-type": kind, "cache-control": "no-store", "content-security-policy": _POLICY}
    content = _with_bridge(answer.text, origin).encode() if kind.startswith("text/html") else answer.content
    return Response(content, answer.status_code, kept)


def _with_bridge(text: str, origin: str) -> str:
    def stay(match: re.Match[str]) -> str:
        name, target = match[1], match[2]
        return f'{name}="{inside(f"{origin}/" if target == "/" else target)}'

    script = '<script src="/wechat/bridge.js"></script>'
    return _LINK.sub(stay, text).replace("</head>", f"{script}</head>", 1)
