// What opens over the page: more fields, what the server is, and the token that it may ask for.

import { $, make } from "./dom.js";

/** Buttons that open and close sheets; a click outside closes one, but the token's. */
export function listenToSheets() {
  const openers = { "more-open": "more", "about-open": "about" };
  for (const [button, sheet] of Object.entries(openers))
    $(button).addEventListener("click", () => $(sheet).showModal());
  for (const sheet of document.querySelectorAll("dialog:not(#token)")) {
    sheet.addEventListener("click", closeOutside);
    sheet.querySelector("[data-close]").addEventListener("click", () => sheet.close());
  }
}

/** The field that a refusal is about, also where it is in the sheet. */
export function focusOn(name) {
  const input = name && document.querySelector(`[name="${CSS.escape(name)}"]`);
  if (!input) return;
  if ($("more").contains(input)) $("more").showModal();
  input.focus();
}

function closeOutside(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const inside =
    event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (event.target === event.currentTarget && event.detail && !inside) event.currentTarget.close();
}

/** What the server is, in rows of a list. */
export function facts({ version, photos, limits }, bundle, repairs) {
  const rows = [
    ["Version", version],
    ["Model", bundle && `${bundle.name}, ${bundle.system}`],
    ["Digest", bundle?.digest.slice(0, 12)],
    ["Engine", bundle?.engine && `${bundle.engine.name}: ${bundle.engine.reason}`],
    ["Picture", bundle?.picture && `${bundle.picture.width} x ${bundle.picture.height} pixels`],
    ["Steps", limits.work.steps && `at most ${limits.work.steps}`],
    ["Poses in photos", photos ? "are found" : "are not found here: no detector is installed"],
    ["Photo repair", repairs ? "is served" : "is not served here: it needs a part-refiner bundle"],
  ];
  return rows
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]);
}

/** A token that the user gives. */
export function askToken() {
  $("token").showModal();
  return new Promise((resolve) =>
    $("token").addEventListener("close", () => resolve($("token-value").value.trim()), { once: true }),
  );
}
