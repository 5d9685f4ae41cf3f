// The picture as it comes: the newest preview, seconds of each stage, what it was made of, what was made before.

import { $, imageOf, make } from "./dom.js";

const STAGES = { text: "Words", close_ups: "Close-ups", decode: "Picture" };
const PIECES = {
  result: "Picture",
  pose: "Skeleton",
  canvas: "Canvas",
  mask: "Mask",
  region: "Kept region",
  sheet: "Sheet",
};
const ORDER = ["result", "hand", "hand-mask", "close-up", "canvas", "mask", "pose", "sheet"];
const MOST_KEPT = 40;

export class PicturePane {
  /** @param reuse called with what was asked of a picture of the gallery */
  constructor(reuse) {
    this.gallery = [];
    this.shown = null;
    $("reuse").addEventListener("click", () => reuse(this.shown.asked));
  }

  line(text) {
    $("job-line").textContent = text;
  }

  /** Another one begins. */
  begin() {
    this.shown = null;
    this.rows = new Map();
    $("stages").replaceChildren();
    $("stages").className = "stages";
    $("pieces").replaceChildren();
    $("reuse").hidden = $("download").hidden = true;
    this.#mark();
  }

  /** A finished step. */
  step({ stage, step, total, seconds, preview }) {
    const row = this.rows.get(stage) ?? this.#row(stage, seconds);
    for (const [name, other] of this.rows) other.item.className = name === stage && step < total ? "" : "done";
    row.bar.style.inlineSize = `${(100 * step) / total}%`;
    row.count.textContent = total > 1 ? `${step} / ${total}` : "";
    row.time.textContent = `${(seconds - row.began).toFixed(2)} s`;
    row.last = seconds;
    if (preview) this.#show(preview, `The picture as it stands: ${stage}, step ${step} of ${total}`);
    this.line(`${stageName(stage)}, ${step} of ${total}`);
  }

  #row(stage, seconds) {
    const before = [...this.rows.values()].at(-1);
    const [bar, count, time] = [make("i"), make("span", { className: "count" }), make("span")];
    const item = make(
      "li",
      {},
      make("b", { textContent: stageName(stage) }),
      make("div", { className: "track" }, bar),
      count,
      time,
    );
    $("stages").append(item);
    const row = { item, bar, count, time, began: before?.last ?? 0, last: seconds };
    this.rows.set(stage, row);
    return row;
  }

  /** What is known of a picture before it is there. */
  piece(name, blob) {
    const url = URL.createObjectURL(blob);
    const old = $("pieces").querySelector(`[data-piece="${CSS.escape(name)}"] img`);
    if (old) {
      URL.revokeObjectURL(old.src);
      old.src = url;
    } else {
      $("pieces").append(thumb(nameOf(name), url, { piece: name }));
    }
  }

  #show(url, text) {
    $("shown").src = url;
    $("shown").alt = text;
    $("shown").hidden = false;
    $("no-picture").hidden = true;
  }

  /** A picture that is ready, with all that it was made of. */
  finish(job, asked) {
    const sorted = job.pictures.toSorted((a, b) => place(a) - place(b));
    const pieces = sorted.map((picture) => ({ ...picture, url: URL.createObjectURL(picture.blob) }));
    const made = { job, asked, pieces };
    this.gallery.unshift(made);
    for (const old of this.gallery.splice(MOST_KEPT)) for (const piece of old.pieces) URL.revokeObjectURL(piece.url);
    this.line(`${job.result.seconds.total.toFixed(2)} s`);
    $("stages").classList.add("over");
    this.#drawGallery();
    this.open(made);
  }

  /** It did not come to a picture. */
  stop(text) {
    for (const { item } of this.rows?.values() ?? []) item.className = "done";
    this.line(text);
  }

  /** One of the gallery. */
  open(made) {
    this.shown = made;
    $("pieces").replaceChildren(
      ...made.pieces.map((piece) =>
        thumb(nameOf(piece.name), piece.url, { piece: piece.name }, () => this.#openPiece(piece)),
      ),
    );
    this.#openPiece(made.pieces[0]);
    $("reuse").hidden = made.asked.mode !== "pose";
    this.#mark();
  }

  async #openPiece(piece) {
    await imageOf(piece.url);
    this.#show(piece.url, `${nameOf(piece.name)}, ${piece.width} by ${piece.height} pixels`);
    $("shown").dataset.piece = piece.name;
    const seed = this.shown?.job.result.seed;
    Object.assign($("download"), {
      href: piece.url,
      download: `handfirst-${piece.name === "result" ? "" : `${piece.name}-`}${seed}.png`,
    });
    $("download").hidden = false;
    press($("pieces"), piece.name);
  }

  #drawGallery() {
    $("gallery-box").hidden = this.gallery.length === 0;
    $("gallery").replaceChildren(
      ...this.gallery.map((made) =>
        thumb(`seed ${made.job.result.seed}`, made.pieces[0].url, {}, () => this.open(made)),
      ),
    );
  }

  #mark() {
    [...$("gallery").children].forEach((button, i) =>
      button.setAttribute("aria-pressed", this.gallery[i] === this.shown),
    );
  }
}

const stageName = (stage) => STAGES[stage] ?? stage[0].toUpperCase() + stage.slice(1).replaceAll("_", " ");

/** In the order in which they come about, the picture itself first. */
function place({ kind }) {
  const at = ORDER.indexOf(kind);
  return at < 0 ? ORDER.length : at;
}

function press(strip, name) {
  for (const button of strip.children) button.setAttribute("aria-pressed", button.dataset.piece === name);
}

function thumb(label, url, data, open) {
  const button = make(
    "button",
    { type: "button", className: "thumb", data, aria: { pressed: "false" } },
    make("img", { src: url, alt: "" }),
    make("span", { textContent: label }),
  );
  button.disabled = !open;
  if (open) button.addEventListener("click", open);
  return button;
}

function nameOf(name) {
  const [, , side, rest] = /^hand-(\d+)-(left|right|both)(.*)$/.exec(name) ?? [];
  if (!side) return PIECES[name] ?? name.replaceAll("-", " ");
  const [one, what] = [{ left: "Left", right: "Right", both: "Both" }[side], rest.replaceAll("-", " ")];
  return one + (what || (side === "both" ? " hands" : " hand"));
}
