// The page: two boards (a pose, a photo), the panes that show them, and the request that comes of them.

import { Client } from "./api.js";
import { Board } from "./board.js";
import { $, aloud, make, press, tell, trying } from "./dom.js";
import { pictureSize, readFields, showFields } from "./fields.js";
import { HandPane } from "./hand-pane.js";
import { Work } from "./jobs.js";
import { PicturePane } from "./picture-pane.js";
import { PosePane } from "./pose-pane.js";
import { fit, fromA1111, toA1111 } from "./pose.js";
import { Repair } from "./repair.js";
import { askToken, facts, focusOn, listenToSheets } from "./sheets.js";

const SHORT_SIDE = 512; // of the pose's canvas, whatever the picture has
const AGAIN_MS = 1500;
const SEEDS = 2 ** 31;
const KEPT = "handfirst-draft";

class Page {
  constructor(capabilities, client, gestures, figure) {
    Object.assign(this, { capabilities, client, figure });
    this.work = null;
    this.mode = this.#bundles("pose").length || !this.#bundles("repair").length ? "pose" : "repair";
    this.repair = new Repair(client, () => this.capabilities.photos);
    this.#showModels();
    const draft = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    $("prompt").value = draft?.prompt ?? figure.prompt;
    $("seed").value = draft?.seed ?? 0;
    const size = this.#canvas();
    this.board = new Board(fit(fromA1111(draft?.pose ?? figure.pose), size.width, size.height));
    const takePhoto = (blob) => (this.mode === "repair" ? this.repair.take(blob) : this.posePane.trace(blob));
    this.posePane = new PosePane(this.board, { figure: () => this.#figure(), client, takePhoto });
    this.handPane = new HandPane(this.board, gestures, () => ({
      hands: this.bundle?.hands,
      picture: this.bundle && pictureSize(this.bundle),
    }));
    this.picturePane = new PicturePane((asked) => this.#reuse(asked));
    for (const board of [this.board, this.repair.board]) board.addEventListener("change", () => this.#changed());
    this.#listen();
    this.#use(this.mode);
  }

  /** Models of a mode: those that take a pose and words, or those that take a photo. */
  #bundles(mode) {
    const takes = (each) => (each.files.includes("photo") ? "repair" : each.files.includes("pose") ? "pose" : "other");
    return this.capabilities.bundles.filter((each) => takes(each) === mode);
  }

  get bundle() {
    const served = this.#bundles(this.mode);
    return served.find(({ name }) => name === $("model").value) ?? served[0] ?? null;
  }

  #canvas() {
    const { width, height } =
      this.bundle && this.mode === "pose" ? pictureSize(this.bundle) : { width: SHORT_SIDE, height: SHORT_SIDE };
    const size = SHORT_SIDE / Math.min(width, height);
    return { width: Math.round(width * size), height: Math.round(height * size) };
  }

  #figure() {
    const { width, height } = this.posePane.board.pose;
    return fit(fromA1111(this.figure.pose), width, height).people[0];
  }

  #showModels() {
    const repairs = this.#bundles("repair").length > 0,
      poses = this.#bundles("pose").length > 0;
    $("modes").hidden = !repairs || !poses;
    $("no-repair").hidden = repairs;
    const served = this.#bundles(this.mode),
      names = served.map(({ name }) => name);
    $("model").replaceChildren(...names.map((name) => make("option", { value: name, textContent: name })));
    $("model-choice").hidden = names.length < 2;
    $("model-name").textContent = this.bundle?.name ?? "no model for this";
    $("light").className = `light ${this.capabilities.ready ? "on" : ""}`;
    if (this.bundle) showFields(this.bundle, this.capabilities.limits);
    else tell("No model is served that takes a pose or a photo; this page has nothing to ask of the others.");
    $("facts").replaceChildren(...facts(this.capabilities, this.bundle, repairs));
  }

  #listen() {
    const on = (id, event, work) => $(id).addEventListener(event, work);
    on("modes", "click", ({ target }) => target.dataset.mode && this.#use(target.dataset.mode));
    on("model", "change", () => this.#newModel());
    on("fields", "change", () => this.mode === "pose" && this.board.resize(...Object.values(this.#canvas())));
    on("panes", "click", ({ target }) => target.dataset.pane && this.#pane(target.dataset.pane));
    on("dice", "click", () => ($("seed").value = Math.floor(Math.random() * SEEDS)));
    on("composer", "submit", (event) => (event.preventDefault(), this.render()));
    on("cancel", "click", () => trying(() => this.work?.cancel()));
    listenToSheets();
    document.addEventListener(
      "keydown",
      (event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && $("composer").requestSubmit(),
    );
    addEventListener("pagehide", () => this.#keep());
  }

  #keep() {
    const draft = { pose: toA1111(this.board.pose), prompt: $("prompt").value, seed: $("seed").value };
    sessionStorage.setItem(KEPT, JSON.stringify(draft));
  }

  #pane(name) {
    document.body.dataset.pane = name;
    press($("panes"), "pane", name);
  }

  #use(mode) {
    this.mode = mode;
    press($("modes"), "mode", mode);
    this.#showModels();
    const board = mode === "repair" ? this.repair.board : this.board;
    this.posePane.stage.use(board);
    this.handPane.stage.use(board);
    $("pose-title").textContent = mode === "repair" ? "Photo" : "Pose";
    $("render").textContent = mode === "repair" ? "Repair this hand" : "Render";
    $("repair-line").hidden = mode !== "repair";
    $("no-picture-line").textContent =
      mode === "repair"
        ? "The hand comes first, then the ring around it."
        : "Hands come first, then the body around them.";
    $("photo").title = mode === "repair" ? "Photo to repair" : "Photo to trace";
    $("photo").setAttribute("aria-label", $("photo").title);
    this.#changed();
  }

  #newModel() {
    if (this.bundle) showFields(this.bundle, this.capabilities.limits);
    $("model-name").textContent = this.bundle.name;
    if (this.mode === "pose") this.board.resize(...Object.values(this.#canvas()));
    this.#changed();
  }

  #changed() {
    const repair = this.mode === "repair";
    this.posePane.show({ photos: this.capabilities.photos, repair });
    this.handPane.show();
    if (repair) this.repair.show();
    else $("drop").hidden = true;
    $("render").disabled = !this.bundle || (!repair && !this.board.pose.people.length);
  }

  /** From what the page says to a picture. */
  async render() {
    if (this.work || $("render").disabled) return;
    tell(null);
    let asked;
    try {
      const fields = readFields(this.bundle);
      asked =
        this.mode === "repair"
          ? { ...fields, ...this.repair.request() }
          : { ...fields, pose: toA1111(this.board.pose) };
    } catch (error) {
      tell(error.message);
      return;
    }
    const pane = this.picturePane,
      { client } = this;
    this.work = new Work(client, {
      line: (text) => pane.line(text),
      step: (data) => pane.step(data),
      piece: (name, blob) => pane.piece(name, blob),
    });
    this.#busy(true);
    pane.begin();
    this.#pane("picture");
    try {
      const job = await this.work.run({ bundle: this.bundle.name, request: asked });
      if (job) {
        pane.finish(job, { ...asked, mode: this.mode });
        aloud(`the picture is ready, after ${job.result.seconds.total.toFixed(1)} seconds`);
        if (job.result.warnings.length) tell(job.result.warnings.join(" · "));
      } else {
        pane.stop("Cancelled");
      }
    } catch (error) {
      pane.stop(error.name === "AbortError" ? "Cancelled" : "Stopped");
      if (error.name !== "AbortError") tell(error.message);
      focusOn(error.field);
    } finally {
      this.work = null;
      this.#busy(false);
    }
  }

  #busy(is) {
    $("render").hidden = is;
    $("cancel").hidden = !is;
    $("view").setAttribute("aria-busy", is);
  }

  /** Pose and words of an earlier picture, to go on from there. */
  #reuse(asked) {
    if (this.mode !== "pose") this.#use("pose");
    this.board.commit(fit(fromA1111(asked.pose), this.board.pose.width, this.board.pose.height));
    if (asked.prompt) $("prompt").value = asked.prompt;
    $("seed").value = asked.seed;
    this.#pane("pose");
  }
}

const json = async (name) => (await fetch(name)).json();

/** Waits until the server can draw. */
async function ready(client) {
  for (;;) {
    const found = await client.capabilities();
    if (found.ready) return found;
    tell("The server opens its models.");
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

const client = new Client(askToken);
await trying(async () => {
  const [capabilities, { gestures }, figure] = await Promise.all([
    ready(client),
    json("gestures.json"),
    json("figure.json"),
  ]);
  tell(null);
  new Page(capabilities, client, gestures, figure);
  document.body.dataset.ready = "true";
});
