const card = document.querySelector(".card[data-poll]");
const left = document.getElementById("left");
if (left) {
  const end = performance.now() + Number(left.dataset.left) * 1000;
  const tick = setInterval(() => {
    const seconds = Math.max(0, Math.round((end - performance.now()) / 1000));
    const rest = String(seconds % 60).padStart(2, "0");
    left.textContent = `${Math.floor(seconds / 60)} ${left.dataset.min} ${rest} ${left.dataset.s}`;
    if (!seconds) { clearInterval(tick); location.reload(); }
  }, 1000);
}
// Reload a page restored from the back/forward cache, but never an error page, which would be submitted again.
const page = document.querySelector(".card[data-state]");
addEventListener("pageshow", (event) => { if (event.persisted && page) location.reload(); });
// The payment goes on by itself once: `go` is taken out of the address first.
const goes = new URLSearchParams(location.search).has("go");
if (goes) {
  const address = new URL(location.href);
  address.searchParams.delete("go");
  history.replaceState(null, "", address);
}
const chosen = document.querySelector("form[data-go]");
if (chosen && goes) chosen.submit();
// Inside WeChat, its bridge takes the parameters of the payment.
const bridge = document.getElementById("bridge");
if (bridge) {
  const invoke = () => {
    if (!window.WeixinJSBridge) return;
    const parameters = JSON.parse(bridge.dataset.parameters);
    window.WeixinJSBridge.invoke("getBrandWCPayRequest", parameters, () => location.reload());
  };
  bridge.addEventListener("click", invoke);
  if (goes && window.WeixinJSBridge) invoke();
  else if (goes) document.addEventListener("WeixinJSBridgeReady", invoke, { once: true });
}
if (card) {
  const until = performance.now() + 3600000;
  const first = Number(card.dataset.poll) * 1000;
  let pause = first;
  let timer = 0;
  // The provider has no payment: offer to continue.
  const unpaid = (data) => {
    const again = document.getElementById("again");
    const none = ["absent", "waiting", "closed"].includes(data.provider_says);
    const text = document.getElementById("unpaid");
    if (!again || !none || !text || !text.hidden) return;
    text.hidden = false;
    document.getElementById("asking").hidden = true;
    again.open = true;
  };
  const poll = async () => {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { accept: "application/json" }, cache: "no-store" });
        if (answer.ok) {
          const { data } = await answer.json();
          // Another page may have opened another attempt: what is shown here would pay a closed one.
          const code = document.getElementById("qr");
          const stale = (code && code.textContent !== data.qr_code)
            || (bridge && JSON.parse(bridge.dataset.parameters).package !== data.jsapi_params?.package);
          const changed = stale || data.state !== card.dataset.state || String(data.may_pay) !== card.dataset.mayPay;
          if (changed) { location.reload(); return; }
          unpaid(data);
        }
      } catch { /* offline: retried */ }
      pause = Math.min(pause * 1.25, Math.max(first, 10000));
    }
    if (performance.now() < until) timer = setTimeout(poll, pause);
  };
  timer = setTimeout(poll, pause);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { pause = first; poll(); } });
}
