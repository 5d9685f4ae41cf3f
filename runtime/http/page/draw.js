// People drawn: bodies quiet, hands in colour, a finger each. Colours are those of the style sheet.
// Knows how a pose looks, and nothing of pointers.

import { bounds } from "./geometry.js";
import { described } from "./hands.js";
import { hasHand } from "./pose.js";
import { fingerOf, HAND_EDGES, LIMBS, SIDES } from "./skeleton.js";

const PALM = [0, 1, 5, 9, 13, 17];
const NAMES = [
  "ground",
  "dot",
  "bone",
  "joint",
  "ink",
  "surface",
  "accent",
  "muted",
  "thumb",
  "index",
  "middle",
  "ring",
  "little",
];

/** What the style sheet says now, light or dark. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const found = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...found, fingers: [found.thumb, found.index, found.middle, found.ring, found.little] };
}

/** @param view {toScreen(point), scale}: from the pose's pixels to those of the page. */
export function drawGround(context, pose, view, photo, paint) {
  const [x, y] = view.toScreen([0, 0]),
    [right, bottom] = view.toScreen([pose.width, pose.height]);
  context.fillStyle = paint.ground;
  context.fillRect(x, y, right - x, bottom - y);
  if (photo) {
    context.globalAlpha = photo.opacity;
    const at = Math.min(pose.width / photo.image.width, pose.height / photo.image.height) * view.scale;
    const [width, height] = [photo.image.width * at, photo.image.height * at];
    context.drawImage(photo.image, (x + right - width) / 2, (y + bottom - height) / 2, width, height);
    context.globalAlpha = 1;
    return;
  }
  context.fillStyle = paint.dot;
  const gap = Math.max(16, (right - x) / 24);
  for (let column = x + gap / 2; column < right; column += gap) {
    for (let row = y + gap / 2; row < bottom; row += gap) context.fillRect(column - 0.75, row - 0.75, 1.5, 1.5);
  }
}

export function drawPeople(context, board, view, paint, { handles = true } = {}) {
  board.pose.people.forEach((person, i) => {
    const chosen = i === board.chosen.person;
    context.globalAlpha = (chosen ? 1 : 0.55) * (board.photo ? 0.6 : 1);
    drawBody(context, person, view, paint, handles);
    context.globalAlpha = chosen ? 1 : 0.55;
    for (const side of SIDES) drawHand(context, person[side], view, paint, { dots: view.scale > 0.6 });
  });
  context.globalAlpha = 1;
}

function drawBody(context, person, view, paint, handles) {
  const width = Math.max(2.5, 0.011 * view.size);
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = paint.bone;
  for (const [a, b] of LIMBS) line(context, view, person.body[a], person.body[b], width);
  context.fillStyle = paint.bone;
  for (const point of person.face) if (point) dot(context, view.toScreen(point), 1.1);
  if (!handles) return;
  for (const point of person.body)
    if (point) ring(context, view.toScreen(point), Math.max(3.5, 0.009 * view.size), paint.surface, paint.joint);
}

/** @param options {dots, chosen}: whether joints are shown, and the index of the one that is chosen. */
export function drawHand(context, hand, view, paint, { dots = true, chosen = null, width } = {}) {
  const thick = width ?? Math.max(1.6, 0.006 * view.size);
  drawPalm(context, hand, view, paint);
  context.lineCap = "round";
  for (const [a, b] of HAND_EDGES) {
    context.strokeStyle = paint.fingers[fingerOf(b)];
    line(context, view, hand[a], hand[b], thick);
  }
  if (!dots) return;
  hand.forEach((point, index) => {
    if (!point) return;
    const finger = fingerOf(index),
      at = view.toScreen(point);
    if (index === chosen) ring(context, at, thick * 2.1, paint.accent, paint.surface);
    else ring(context, at, thick * 1.1, paint.surface, finger === null ? paint.joint : paint.fingers[finger]);
  });
}

/** The palm as a faint area, so that a hand is seen as one. */
function drawPalm(context, hand, view, paint) {
  const corners = PALM.map((index) => hand[index]);
  if (!corners.every(Boolean)) return;
  const before = context.globalAlpha;
  context.globalAlpha = before * 0.22;
  context.fillStyle = paint.bone;
  context.beginPath();
  corners.forEach((corner, i) => context[i ? "lineTo" : "moveTo"](...view.toScreen(corner)));
  context.fill();
  context.globalAlpha = before;
}

/** The joint that keys move. */
export function drawChosen(context, board, view, paint) {
  const { joint } = board.chosen,
    point = joint && board.person?.[joint.part][joint.index];
  if (!point) return;
  const [x, y] = view.toScreen(point);
  context.strokeStyle = paint.accent;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 10, 0, 7);
  context.stroke();
}

/** Each hand's name beside it: which side it is, and which face of it is seen. */
export function drawNames(context, board, view, paint) {
  context.font = "600 11px system-ui, sans-serif";
  context.textBaseline = "middle";
  board.pose.people.forEach((person, i) => {
    for (const side of SIDES) {
      const box = hasHand(person, side) && bounds(person[side]);
      if (!box) continue;
      const told = described(person[side], side),
        text = `${told.side.split(" ")[0]} · ${told.view.replace("seen from the ", "")}`;
      const here = i === board.chosen.person && side === board.chosen.side;
      const [x, top] = view.toScreen([box.x + box.width / 2, box.y]),
        width = context.measureText(text).width + 14;
      const left = Math.min(Math.max(x - width / 2, 4), view.width - width - 4),
        y = Math.max(top - 22, 14);
      context.fillStyle = here ? paint.accent : paint.surface;
      context.beginPath();
      context.roundRect(left, y - 10, width, 20, 10);
      context.fill();
      context.fillStyle = here ? paint.surface : paint.muted;
      context.fillText(text, left + 7, y + 0.5);
    }
  });
}

function line(context, view, a, b, width) {
  if (!a || !b) return;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(...view.toScreen(a));
  context.lineTo(...view.toScreen(b));
  context.stroke();
}

function dot(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

function ring(context, at, radius, inside, around) {
  context.fillStyle = around;
  dot(context, at, radius + 1.25);
  context.fillStyle = inside;
  dot(context, at, radius);
}
