// One hand, enlarged: its joints, which face is seen, whether it is large enough for the model, and gestures to choose.

import { $, aloud, make, press } from "./dom.js";
import { angle, distance, handView, sub } from "./geometry.js";
import { colours, drawGround, drawHand } from "./draw.js";
import { copied, described, inSquare, palm, place, put, seen, sized, square, turned, turnedOver } from "./hands.js";
import { hasHand } from "./pose.js";
import { Stage } from "./stage.js";

const TURN = Math.PI / 12,
  GROW = 1.1,
  THUMB = 44;
/** HaGRID's names for what people have no word for. */
const LABELS = { three2: "three, thumb", three3: "last three" };
const FRAME = { margin: 1.55, least: 0.06 };
/** How far the handle lies that turns the hand: beyond its farthest point. */
const HANDLE = 1.18;

export class HandPane {
  /** @param limits () => {hands, picture}: what the model needs, and the size of what it draws */
  constructor(board, gestures, limits) {
    Object.assign(this, { gestures, limits });
    this.frame = null;
    this.stage = new Stage($("hand"), board, {
      parts: ({ chosen }) => [chosen.side],
      window: (from) => this.#window(from),
      draw: (context, from, view, paint) => this.#draw(context, from, view, paint),
      handle: (from, view) => handleOf(from, view),
      say: aloud,
    });
    this.#listen();
    this.#showGestures();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#drawGestures());
  }

  get board() {
    return this.stage.board;
  }

  /** The square around the hand; while a joint is dragged it stays where it was. */
  #window(board) {
    const { person, chosen, pose } = board,
      shorter = Math.min(pose.width, pose.height);
    const hand = person?.[chosen.side];
    const known = hand && hand.some(Boolean);
    const key = `${chosen.person} ${chosen.side} ${board.dragging}`;
    if (board.dragging && this.frame?.key === key) return this.frame;
    const cut = known ? square(hand, FRAME, shorter) : { x: 0, y: 0, side: shorter };
    this.frame = { key, x: cut.x, y: cut.y, width: cut.side, height: cut.side };
    return this.frame;
  }

  #draw(context, board, view, paint) {
    drawGround(context, board.pose, view, board.photo, { ...paint });
    const { person, chosen } = board;
    if (!person) return;
    const other = chosen.side === "left" ? "right" : "left";
    context.globalAlpha = 0.22;
    drawHand(context, person[other], view, paint, { dots: false, width: 5 });
    context.globalAlpha = 1;
    const index = chosen.joint?.part === chosen.side ? chosen.joint.index : null;
    drawHand(context, person[chosen.side], view, paint, { chosen: index, width: 5 });
    const handle = handleOf(board, view);
    if (handle) drawHandle(context, handle, view.toScreen(person[chosen.side][0]), paint);
  }

  #listen() {
    const on = (id, work) => $(id).addEventListener("click", () => work(this.board));
    $("sides").addEventListener(
      "click",
      ({ target }) => target.dataset.side && this.board.choose({ side: target.dataset.side, joint: null }),
    );
    $("faces").addEventListener("click", ({ target }) => {
      const { side } = this.board.chosen;
      if (target.dataset.face && handView(this.board.hand, side) !== target.dataset.face)
        this.board.editHand(turnedOver);
    });
    on("turn-left", (board) => board.editHand((hand) => turned(hand, -TURN)));
    on("turn-right", (board) => board.editHand((hand) => turned(hand, TURN)));
    on("larger", (board) => board.editHand((hand) => turned(hand, 0, GROW)));
    on("smaller", (board) => board.editHand((hand) => turned(hand, 0, 1 / GROW)));
    on("remove-hand", (board) => board.removeHand());
    on("copy-hand", (board) => copyAcross(board));
    on("add-hand", () => this.apply(this.gestures.find(({ name }) => name === "relaxed") ?? this.gestures[0]));
    on("enlarge", (board) => {
      const { pixels, needed } = this.#size();
      board.editHand((hand) => turned(hand, 0, (needed / pixels) * 1.01));
    });
  }

  #size() {
    const { hands, picture } = this.limits(),
      { hand, pose } = this.board;
    return hands && hand ? sized(hand, hands, pose, picture) : { small: false };
  }

  /** What the board says now, beside the canvas. */
  show() {
    const { person, hand, chosen } = this.board,
      there = Boolean(person && hasHand(person, chosen.side));
    press($("sides"), "side", chosen.side);
    $("no-hand").hidden = there;
    $("add-hand").hidden = !person;
    for (const id of ["turn-left", "turn-right", "larger", "smaller", "remove-hand", "copy-hand"])
      $(id).disabled = !there;
    for (const button of $("faces").children) button.disabled = !there;
    const told = there ? described(hand, chosen.side) : null,
      name = told ? `${told.side}, ${told.view}` : "";
    if ($("seen").textContent !== name) $("seen").textContent = name;
    press($("faces"), "face", there ? handView(hand, chosen.side) : null);
    const size = there ? this.#size() : { small: false };
    $("small").hidden = !size.small;
    if (size.small)
      $("small").firstElementChild.textContent =
        `Small for this model: ${Math.round(size.pixels)} pixels; from ${Math.ceil(size.needed)} on hands come out clear.`;
  }

  /** A gesture in the place of the chosen hand; the face that is seen stays, unless the gesture is of one face. */
  apply(gesture) {
    const { board } = this,
      { side } = board.chosen;
    if (!board.person) return;
    const view = hasHand(board.person, side) ? handView(board.hand, side) : "side";
    const face = view !== "side" ? view : gesture.face === "back" ? "back" : "palm";
    const at = place(board.person, side, board.pose);
    board.edit((person) => ({ ...person, [side]: put(seen(gesture.points, side, face), at) }));
    aloud(`${gesture.name}, ${face} of the ${side} hand`);
  }

  #showGestures() {
    const buttons = this.gestures.map((gesture) => {
      const button = make(
        "button",
        {
          type: "button",
          className: "gesture",
          title: LABELS[gesture.name] ?? gesture.name,
          data: { gesture: gesture.name },
        },
        make("canvas", { width: 3 * THUMB, height: 3 * THUMB }),
        make("span", { textContent: LABELS[gesture.name] ?? gesture.name }),
      );
      button.addEventListener("click", () => this.apply(gesture));
      return button;
    });
    $("gestures").replaceChildren(...buttons);
    this.#drawGestures();
  }

  #drawGestures() {
    const paint = colours();
    this.gestures.forEach((gesture, i) => {
      const context = $("gestures").children[i].firstElementChild.getContext("2d");
      context.setTransform(3, 0, 0, 3, 0, 0);
      context.clearRect(0, 0, THUMB, THUMB);
      const points = inSquare(seen(gesture.points, "right", gesture.face === "back" ? "back" : "palm"), THUMB);
      drawHand(context, points, { toScreen: (p) => p, size: THUMB }, paint, { dots: false, width: 3.2 });
    });
  }
}

function copyAcross(board) {
  const { side } = board.chosen,
    other = side === "left" ? "right" : "left";
  const at = place(board.person, other, board.pose);
  const length = hasHand(board.person, other) ? at.length : palm(board.hand);
  board.edit((person) => ({ ...person, [other]: copied(person[side], { ...at, length }) }));
  aloud(`copied to the ${other} hand`);
}

/** Beyond the fingers: dragged about the wrist it turns the hand, and with Shift resizes it. */
function handleOf(board, view) {
  const { hand } = board,
    wrist = hand?.[0],
    length = hand ? palm(hand) : 0;
  if (!wrist || !length || !hand[9]) return null;
  const radians = angle(sub(hand[9], wrist)),
    far = HANDLE * Math.max(...hand.map((p) => (p ? distance(p, wrist) : 0)));
  const at = [wrist[0] + far * Math.cos(radians), wrist[1] + far * Math.sin(radians)];
  const drag = (from, to, stretch) => (person) => {
    const { side } = board.chosen,
      origin = person[side][0];
    const size = stretch ? distance(to, origin) / Math.max(distance(from, origin), 1e-6) : 1;
    return { ...person, [side]: turned(person[side], angle(sub(to, origin)) - angle(sub(from, origin)), size) };
  };
  return { at: view.toScreen(at), drag };
}

function drawHandle(context, { at: [x, y] }, wrist, paint) {
  context.strokeStyle = paint.muted;
  context.lineWidth = 1;
  context.setLineDash([3, 4]);
  context.beginPath();
  context.moveTo(...wrist);
  context.lineTo(x, y);
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = paint.surface;
  context.strokeStyle = paint.accent;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 6.5, 0, 7);
  context.fill();
  context.stroke();
}
