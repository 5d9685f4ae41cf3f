// A canvas on which joints are taken hold of: by mouse, finger or keys. It shows a board through a window, which is the
// whole pose, or the square around one hand. Knows nothing about what else is on the page.

import { distance, sub } from "./geometry.js";
import { colours } from "./draw.js";
import { nameOf } from "./skeleton.js";

const REACH = { mouse: 16, pen: 20, touch: 30 }; // pixels of the page within which a joint is taken hold of
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Stage {
  #held = null;

  /**
   * @param canvas the element
   * @param options.parts which joints can be taken hold of: () => ["body", "left", "right"]
   * @param options.window what is shown, in the pose's pixels: (board) => {x, y, width, height}
   * @param options.draw (context, board, view, paint) => void
   * @param options.handle what else can be dragged: (board, view) => {at, drag(from, to) => change} or null
   * @param options.say told the name of what is chosen, for those who do not see it
   */
  constructor(canvas, board, options) {
    this.canvas = canvas;
    this.options = options;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.show()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      canvas.addEventListener(end, () => this.#up());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    this.onChange = () => this.show();
    this.use(board);
  }

  /** Another board. */
  use(board) {
    this.board?.removeEventListener("change", this.onChange);
    this.board = board;
    board.addEventListener("change", this.onChange);
    this.show();
  }

  /** Redrawn before the next frame, once, however often it is asked for. */
  show() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.#draw();
    });
  }

  get view() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const window = this.options.window(this.board);
    const scale = Math.min(width / window.width, height / window.height);
    const left = (width - scale * window.width) / 2 - scale * window.x;
    const top = (height - scale * window.height) / 2 - scale * window.y;
    return {
      width,
      height,
      scale,
      size: scale * Math.min(window.width, window.height),
      toScreen: ([x, y]) => [x * scale + left, y * scale + top],
      toPose: ([x, y]) => [(x - left) / scale, (y - top) / scale],
    };
  }

  #draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    const density = Math.min(window.devicePixelRatio || 1, 3);
    const [across, down] = [Math.round(width * density), Math.round(height * density)];
    if (this.canvas.width !== across || this.canvas.height !== down)
      Object.assign(this.canvas, { width: across, height: down });
    this.context.setTransform(density, 0, 0, density, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.options.draw(this.context, this.board, this.view, colours());
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** What can be taken hold of at a place of the page: {joint, person, point} or {handle}; null where nothing can. */
  #under(at, view, kind) {
    const near = REACH[kind] ?? REACH.mouse;
    const handle = this.options.handle?.(this.board, view);
    const found = this.board.nearest(view.toPose(at), this.options.parts(this.board));
    const point = found && this.board.pose.people[found.person][found.joint.part][found.joint.index];
    const toJoint = point ? distance(view.toScreen(point), at) : Infinity;
    const toHandle = handle ? distance(handle.at, at) : Infinity;
    if (Math.min(toJoint, toHandle) > near) return null;
    return toHandle <= toJoint ? { handle } : { ...found, point };
  }

  #down(event) {
    if (event.button !== 0 || this.#held) return;
    const at = this.#at(event),
      view = this.view,
      under = this.#under(at, view, event.pointerType);
    if (!under) {
      this.board.choose({ joint: null });
      return;
    }
    const start = view.toPose(at);
    if (under.handle) {
      this.#held = { start, view, drag: under.handle.drag };
    } else {
      const { person, joint, point } = under,
        [dx, dy] = sub(point, start);
      this.board.choose({ person, joint });
      this.#held = { start, view, drag: (_, [x, y], stretch) => this.board.moving(joint, [x + dx, y + dy], stretch) };
      this.#told();
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.board.grab();
  }

  #move(event) {
    const at = this.#at(event);
    if (this.#held) {
      const { start, view, drag } = this.#held;
      this.board.drag(drag(start, view.toPose(at), event.shiftKey));
    } else {
      const under = this.#under(at, this.view, event.pointerType);
      this.canvas.classList.toggle("can-grab", Boolean(under));
      this.canvas.title = under?.joint ? nameOf(under.joint) : "";
    }
  }

  #up() {
    if (!this.#held) return;
    this.#held = null;
    this.board.drop();
  }

  #key(event) {
    const step = this.options.window(this.board).width / 256;
    if (ARROWS[event.key] && this.board.chosen.joint) {
      const size = event.altKey ? 8 * step : step;
      this.board.nudge(
        ARROWS[event.key].map((d) => d * size),
        event.shiftKey,
      );
    } else if (event.key === "j" || event.key === "k") {
      this.board.step(this.options.parts(this.board), event.key === "j" ? 1 : -1);
      this.#told();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.board.removeJoint();
    } else if (event.key === "Escape") {
      this.board.choose({ joint: null });
    } else {
      return;
    }
    event.preventDefault();
  }

  #told() {
    const { joint } = this.board.chosen;
    if (joint) this.options.say(nameOf(joint));
  }
}
