// Before anything is drawn: the theme that was chosen, else what the system prefers. A classic script, so that
// it runs in time.
(() => {
  const NAME = "extauth-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(NAME);
  } catch {
    // Without storage the system's preference holds.
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isChosen = chosen === "light" || chosen === "dark";
  document.documentElement.dataset.theme = isChosen ? chosen : system.matches ? "dark" : "light";
})();
