// A hand as a whole: gestures put in its place, turned over, turned, resized, and how large it is in the picture.

import { add, angle, bounds, distance, each, handView, mirror, scale, sub, turn } from "./geometry.js";
import { ELBOW, KNUCKLES, MIDDLE_BASE, WRIST } from "./skeleton.js";

export const FOREARM_TO_PALM = 0.4;
/** Of the picture's shorter side, where there is no arm to tell how large a hand must be. */
const USUAL_PALM = 0.07;

/**
 * A gesture of the model, whose points are those of a right hand in centimetres, seen from one side: fingers up, wrist
 * at [0, 0], y down.
 * @param face "palm" or "back"
 */
export function seen(points, side, face) {
  const flip = (side === "right") === (face === "palm") ? 1 : -1;
  const [x0, y0] = points[0];
  return points.map(([x, y]) => [flip * (x - x0), -(y - y0)]);
}

/** Direction of a hand, wrist to middle finger's base, in radians; straight up where it is not known. */
export const direction = (hand) =>
  hand[0] && hand[MIDDLE_BASE] ? angle(sub(hand[MIDDLE_BASE], hand[0])) : -Math.PI / 2;

/** How long the palm is: from the wrist to the knuckles that are known, the farthest counts. */
export function palm(hand) {
  const lengths = KNUCKLES.filter((i) => hand[0] && hand[i]).map((i) => distance(hand[0], hand[i]));
  return lengths.length ? Math.max(...lengths) : 0;
}

/** Where a side's hand is, or would be: {wrist, radians, length} of its palm. */
export function place(person, side, { width, height }) {
  const hand = person[side],
    wrist = person.body[WRIST[side]],
    elbow = person.body[ELBOW[side]];
  if (hand[0] && palm(hand) > 0) return { wrist: hand[0], radians: direction(hand), length: palm(hand) };
  if (wrist && elbow)
    return { wrist, radians: angle(sub(wrist, elbow)), length: FOREARM_TO_PALM * distance(wrist, elbow) };
  return {
    wrist: wrist ?? hand[0] ?? [width / 2, height / 2],
    radians: -Math.PI / 2,
    length: USUAL_PALM * Math.min(width, height),
  };
}

/** A shape as `seen` gives it, at a place. */
export function put(shape, { wrist, radians, length }) {
  const move = turn([0, 0], radians - direction(shape), length / palm(shape));
  return shape.map((p) => add(move(p), wrist));
}

/** The other face of the same hand: mirrored across the line from its wrist to its middle finger. */
export function turnedOver(hand) {
  if (!hand[0]) return hand;
  return each(hand, mirror(hand[0], add(hand[0], [Math.cos(direction(hand)), Math.sin(direction(hand))])));
}

/** The other side's hand in the same gesture, where `at` says; it shows the face that this one shows. */
export function copied(hand, at) {
  const shape = each(hand, (p) => {
    const [x, y] = sub(p, hand[0]);
    return [-x, y];
  });
  const move = turn([0, 0], at.radians - direction(shape), at.length / palm(shape));
  return each(shape, (p) => add(move(p), at.wrist));
}

/** Turned about its wrist, and made larger or smaller. */
export const turned = (hand, radians, size = 1) => (hand[0] ? each(hand, turn(hand[0], radians, size)) : hand);

/** A hand's square on the pose's canvas, as the model cuts it out: {x, y, side}. */
export function square(hand, { margin, least }, shorter) {
  const box = bounds(hand);
  if (!box) return null;
  const side = Math.max(margin * Math.max(box.width, box.height), least * shorter);
  return { x: box.x + box.width / 2 - side / 2, y: box.y + box.height / 2 - side / 2, side };
}

/**
 * How large a hand is for a model that says what it needs.
 * @param limits {margin, least, clear}: see capabilities, `hands`
 * @returns {{pixels, needed, small}} in pixels of the picture
 */
export function sized(hand, limits, pose, picture) {
  const cut = square(hand, limits, Math.min(pose.width, pose.height));
  const toPicture = Math.min(picture.width / pose.width, picture.height / pose.height);
  const needed = limits.clear * Math.min(picture.width, picture.height);
  const pixels = cut ? cut.side * toPicture : 0;
  return { pixels, needed, small: cut !== null && pixels < needed - 1e-6 };
}

/** "Left hand, palm": for people. */
export function described(hand, side) {
  const view = handView(hand, side);
  return { side: `${side === "left" ? "Left" : "Right"} hand`, view: view === "side" ? "seen from the side" : view };
}

/** How much the tips of a hand spread, for a picture of a gesture: its points in a square of that side. */
export function inSquare(points, side, padding = 0.12) {
  const box = bounds(points);
  const size = (side * (1 - 2 * padding)) / Math.max(box.width, box.height);
  const offset = [(side - box.width * size) / 2 - box.x * size, (side - box.height * size) / 2 - box.y * size];
  return points.map((p) => add(scale(p, size), offset));
}
