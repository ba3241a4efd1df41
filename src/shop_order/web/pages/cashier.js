const left = document.getElementById("left");
if (left) {
  const end = performance.now() + Number(left.dataset.left) * 1000;
  const tick = setInterval(() => {
    const seconds = Math.max(0, Math.round((end - performance.now()) / 1000));
    const rest = String(seconds % 60).padStart(2, "0");
    left.textContent = `${Math.floor(seconds / 60)} ${left.dataset.min} ${rest} ${left.dataset.s}`;
    if (!seconds) { clearInterval(tick); location.reload(); }
  }, 1000);
  // A buyer who comes back from the provider's page sees how it went.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) location.reload(); });
}
