const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(`--${name}`).trim();
const quiet = { color: colour("ink"), backgroundColor: colour("chosen"), tabTextColor: colour("on-code") };
const room = document.getElementById("redoc");
// ReDoc's menus have no accessible names.
new MutationObserver(() => {
  for (const menu of room.querySelectorAll("select:not([aria-label])")) menu.setAttribute("aria-label", "Content type");
}).observe(room, { childList: true, subtree: true });
Redoc.init("openapi.json", {
  hideFab: true,
  theme: {
    colors: {
      primary: { main: colour("brand"), light: colour("soft") },
      success: { main: colour("ink") },
      warning: { main: colour("ink") },
      error: { main: colour("urgent") },
      gray: { 50: colour("page"), 100: colour("chosen") },
      text: { primary: colour("ink"), secondary: colour("soft") },
      border: { dark: colour("line"), light: colour("line") },
      responses: { success: quiet, error: quiet, redirect: quiet, info: quiet },
      http: {
        get: colour("brand"), post: colour("good"), put: colour("balance"),
        patch: colour("teal"), delete: colour("stop"),
      },
    },
    schema: { nestedBackground: colour("card"), typeNameColor: colour("soft"), typeTitleColor: colour("soft") },
    typography: { code: { color: colour("ink"), backgroundColor: colour("chosen") }, links: { color: colour("link") } },
    sidebar: { backgroundColor: colour("card"), textColor: colour("ink"), activeTextColor: colour("link") },
    rightPanel: {
      backgroundColor: colour("code"), textColor: colour("on-code"),
      servers: {
        overlay: { backgroundColor: colour("card"), textColor: colour("ink") },
        url: { backgroundColor: colour("page") },
      },
    },
    codeBlock: { backgroundColor: colour("code") },
  },
}, room);
// ReDoc reads the colours only once, so reload when the colour scheme changes.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
