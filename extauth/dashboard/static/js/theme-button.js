// Light or dark: as the system has it until somebody chooses. Only that choice is kept in the browser.

import { h, icon, update } from "./dom.js";

const NAME = "extauth-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Return the button that changes the theme. */
export function themeButton() {
  const face = h("button", { type: "button", class: "button quiet tight", onclick: turn });

  function turn() {
    const theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // Without storage it holds until the page is left.
    }
    apply(theme);
  }

  function name() {
    update(face, icon(isDark() ? "sun" : "moon"), isDark() ? "Light" : "Dark");
    face.setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
  }

  name();
  document.addEventListener("themechange", name);
  return face;
}

const isDark = () => document.documentElement.dataset.theme === "dark";

function apply(theme) {
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

system.addEventListener("change", () => {
  if (!isChosen()) apply(system.matches ? "dark" : "light");
});

function isChosen() {
  try {
    return localStorage.getItem(NAME) !== null;
  } catch {
    return false;
  }
}
