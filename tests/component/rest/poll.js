// Runs cashier.js on a page: argv has the script, and as JSON `page` (dataset, code, parameters) and `answers`. Says
// how often it asked, and whether it reloaded.
const [source, given] = process.argv.slice(2);
const { page, answers } = JSON.parse(given);
const said = { asked: 0, reloaded: false };
const timers = [];
const element = { dataset: page.dataset };
const qr = page.code ? { textContent: page.code } : null;
const bridge = page.parameters ? { dataset: { parameters: JSON.stringify(page.parameters) }, addEventListener: () => {} } : null;
const world = {
  document: {
    hidden: false,
    querySelector: (wanted) => (wanted.startsWith(".card") ? element : null),
    getElementById: (id) => ({ qr, bridge })[id] ?? null,
    addEventListener: () => {},
  },
  addEventListener: () => {},
  location: { href: "http://shop/?e=1", search: "?e=1", reload: () => { said.reloaded = true; } },
  performance: { now: () => 0 },
  setTimeout: (act) => timers.push(act),
  clearTimeout: () => {},
  fetch: async () => ({ ok: true, json: async () => ({ data: answers[said.asked++] }) }),
};
new Function(...Object.keys(world), source)(...Object.values(world));
(async () => {
  while (timers.length && said.asked < answers.length) await timers.shift()();
  console.log(JSON.stringify(said));
})();
