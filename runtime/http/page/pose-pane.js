// The whole pose: people on their canvas, the tools above it, people and photo below it; files in and out.

import { $, aloud, chosenFile, dataUrl, dropped, imageOf, isPicture, make, saveFile, tell, trying } from "./dom.js";
import { drawChosen, drawGround, drawNames, drawPeople } from "./draw.js";
import { fit, fromA1111, toA1111 } from "./pose.js";
import { Stage } from "./stage.js";

const FILES = ".json,.npz,.npy,application/json";
const PICTURES = "image/png,image/jpeg,image/webp";
const TRACED = 0.6;

export class PosePane {
  /**
   * @param figure () => a person to add
   * @param client for what the library reads
   * @param takePhoto what is done with a photo in the mode that is on: (blob) => Promise
   */
  constructor(board, { figure, client, takePhoto }) {
    Object.assign(this, { figure, client, takePhoto });
    this.stage = new Stage($("stage"), board, {
      parts: () => ["body", "left", "right"],
      window: ({ pose }) => ({ x: 0, y: 0, width: pose.width, height: pose.height }),
      draw: (context, from, view, paint) => {
        drawGround(context, from.pose, view, from.photo, paint);
        context.save();
        context.beginPath();
        const [[left, top], [right, bottom]] = [
          view.toScreen([0, 0]),
          view.toScreen([from.pose.width, from.pose.height]),
        ];
        context.rect(left, top, right - left, bottom - top);
        context.clip();
        drawPeople(context, from, view, paint);
        context.restore();
        drawNames(context, from, view, paint);
        drawChosen(context, from, view, paint);
      },
      say: aloud,
    });
    this.#listen();
  }

  get board() {
    return this.stage.board;
  }

  #listen() {
    const on = (id, work) => $(id).addEventListener("click", () => work(this.board));
    on("undo", (board) => board.undo());
    on("redo", (board) => board.redo());
    on("add-person", (board) => board.addPerson(this.figure()));
    on("remove-person", (board) => board.removePerson());
    on("mirror", (board) => board.mirrorPerson());
    on("photo-off", (board) => board.setPhoto(null));
    on("export", () => this.save());
    on("import", async () => this.#take(await chosenFile(FILES)));
    on("photo", async () => this.#take(await chosenFile(PICTURES)));
    on("drop-pick", async () => this.#take(await chosenFile(PICTURES)));
    on("find", (board) => trying(() => this.#read(board.photo.blob)));
    $("opacity").addEventListener("input", ({ target }) =>
      this.board.setPhoto({ ...this.board.photo, opacity: Number(target.value) }),
    );
    $("lengths").addEventListener("change", ({ target }) => (this.board.keepLengths = target.checked));
    dropped(document.querySelector(".pose-pane"), (file) => this.#take(file));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input, textarea")) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) this.board.undo();
    else if (key === "y" || key === "z") this.board.redo();
    else return;
    event.preventDefault();
  }

  async #take(file) {
    if (!file) return;
    await trying(() => (isPicture(file) ? this.takePhoto(file) : this.#read(file)));
  }

  /** A photo below the pose. */
  async trace(blob) {
    const url = URL.createObjectURL(blob);
    this.board.setPhoto({ image: await imageOf(url), url, blob, opacity: TRACED });
  }

  /** A file's pose in place of this one, as the library reads it. */
  async #read(file) {
    const told = await this.client.readPose(await content(file));
    const { width, height } = this.board.pose;
    this.board.commit(fit(fromA1111(told.pose), width, height));
    this.board.choose({ person: 0, joint: null });
    const [hands, people] = [told.people.flatMap((each) => each.hands).length, told.people.length];
    aloud(`${people} people and ${hands} hands read`);
    if (told.warnings.length) tell(told.warnings.join(" · "));
  }

  save() {
    saveFile("pose.json", new Blob([JSON.stringify(toA1111(this.board.pose))], { type: "application/json" }));
  }

  /** What the board says now, beside the canvas. */
  show({ photos, repair }) {
    const { board } = this,
      { pose, chosen, photo } = board;
    $("undo").disabled = !board.canUndo;
    $("redo").disabled = !board.canRedo;
    for (const id of ["mirror", "remove-person"]) $(id).disabled = !board.person;
    $("photo-tools").hidden = !photo || repair;
    $("find").hidden = !photos;
    const chips = pose.people.map((_, i) => {
      const chip = make("button", {
        type: "button",
        className: "chip",
        textContent: `Person ${i + 1}`,
        aria: { pressed: i === chosen.person },
      });
      chip.addEventListener("click", () => board.choose({ person: i, joint: null }));
      return chip;
    });
    if (
      pose.people.length !== $("people").childElementCount ||
      !$("people").children[chosen.person]?.matches('[aria-pressed="true"]')
    ) {
      $("people").replaceChildren(...chips);
    }
  }
}

/** What lies in a file, as the server takes it: JSON as it is, all else in base64. */
async function content(file) {
  if (/\.json$/i.test(file.name ?? "") || file.type === "application/json") {
    try {
      const found = JSON.parse(await file.text());
      if (found && typeof found === "object") return found;
    } catch {
      // the library says in its own words what is wrong with it
    }
  }
  return dataUrl(file);
}
