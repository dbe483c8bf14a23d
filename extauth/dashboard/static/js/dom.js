// Builds and updates the page's nodes. Data only ever becomes text or attribute values, never markup.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onsubmit", "onchange", "oninput", "onkeydown", "ontoggle"];
let ids = 0;

/** Return an element. Members named on… are handlers, `dataset` and `style` are set member by member. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    // Custom properties set by script are no inline styles in the eyes of the Content-Security-Policy.
    else if (name === "style")
      for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Return the children that are there: lists are flattened, null and false are left out. */
function present(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Return an id that no other element has. */
export function uniqueId(word) {
  ids += 1;
  return `${word}-${ids}`;
}

/** Return a picture of 24 by 24 that says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Make an element hold these children. What is alike stays in place, and with it focus and scroll. */
export function update(parent, ...children) {
  const fresh = document.createElement(parent.tagName);
  fresh.append(...present(children));
  const focused = document.activeElement;
  matchChildren(parent, fresh);
  // What changes its place loses the focus.
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  return parent;
}

function matchChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const match = wanted.dataset?.key ? keyed.get(wanted.dataset.key) : unkeyed(place, wanted);
    if (!match) {
      old.insertBefore(wanted, place);
      continue;
    }
    keyed.delete(match.dataset?.key);
    if (match === place) place = place.nextSibling;
    else old.insertBefore(match, place);
    become(match, wanted);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function unkeyed(place, wanted) {
  const alike = place && place.nodeName === wanted.nodeName && !place.dataset?.key;
  return alike && place.dataset?.own === wanted.dataset?.own ? place : null;
}

function become(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  // A details element that somebody has opened stays open, and a field keeps what was typed.
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    // The Content-Security-Policy takes styles from script, but not as an attribute.
    if (name === "style") old.style.cssText = wanted.style.cssText;
    else if (old.getAttribute(name) !== value && name !== "id") old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) if (old[handler] !== wanted[handler]) old[handler] = wanted[handler];
  matchChildren(old, wanted);
}

const ICONS = {
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
  key: "M14.5 3a6.5 6.5 0 0 0-6.2 8.5L3 16.8V21h4.2v-2.3h2.3v-2.3h2.3l.7-.7A6.5 6.5 0 1 0 14.5 3zm2 5.2a.7.7 0 1 1 0-1.4.7.7 0 0 1 0 1.4z",
  chart: "M4 20V10m5.3 10V4m5.4 16v-8M20 20V7",
  gauge: "M4.5 18a9 9 0 1 1 15 0M12 14l4-5",
  ban: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM5.6 5.6l12.8 12.8",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  system: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 20c1-4 4-6 8-6s7 2 8 6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M4.9 4.9l1.4 1.4m11.4 11.4l1.4 1.4M2 12h2m16 0h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  leave: "M14 4H5v16h9M10 12h11m-4-4l4 4-4 4",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  good: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12l3 3 5-6",
  warn: "M12 4l9 16H3zM12 10v5m0 2.5v.01",
  bad: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v6m0 3.5v.01",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  plus: "M12 5v14M5 12h14",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  arrow: "M5 12h14m-5-5l5 5-5 5",
};
