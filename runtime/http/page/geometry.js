// Points in the plane, [x, y] with y down, or null where nobody knows; chains of bones whose lengths stay.
// Knows nothing about people.

import { INDEX_BASE, LITTLE_BASE } from "./skeleton.js";

export const add = (a, b) => [a[0] + b[0], a[1] + b[1]];
export const sub = (a, b) => [a[0] - b[0], a[1] - b[1]];
export const scale = (a, s) => [a[0] * s, a[1] * s];
export const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
export const angle = (a) => Math.atan2(a[1], a[0]);
export const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

/** `move` of every point that is known. */
export const each = (points, move) => points.map((point) => point && move(point));

/** A turn about a point, in radians (clockwise on a screen), and a change of size. */
export function turn(centre, radians, size = 1) {
  const c = Math.cos(radians) * size,
    s = Math.sin(radians) * size;
  return (p) => {
    const [x, y] = sub(p, centre);
    return [centre[0] + c * x - s * y, centre[1] + s * x + c * y];
  };
}

/** The turn about `centre` that brings `from` into the direction of `to`. */
export const towards = (centre, from, to) => turn(centre, angle(sub(to, centre)) - angle(sub(from, centre)));

/** A mirror image across the line through two points. */
export function mirror(a, b) {
  const [x, y] = sub(b, a),
    square = x * x + y * y || 1;
  return (p) => {
    const [px, py] = sub(p, a),
      along = (px * x + py * y) / square;
    return [a[0] + 2 * along * x - px, a[1] + 2 * along * y - py];
  };
}

/** The box of all known points, {x, y, width, height}; null without any. */
export function bounds(points) {
  const known = points.filter(Boolean);
  if (!known.length) return null;
  const xs = known.map((p) => p[0]),
    ys = known.map((p) => p[1]);
  const x = Math.min(...xs),
    y = Math.min(...ys);
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

/** The point nearest to `target` at exactly `length` from `root`. */
export function atLength(root, target, length) {
  const from = sub(target, root),
    far = Math.hypot(...from);
  return far < 1e-9 ? [root[0] + length, root[1]] : add(root, scale(from, length / far));
}

/**
 * Two bones from a root that stays to an end that goes as near to `target` as it can.
 * @returns [middle, end]: both lengths as they were, bent to the side to which they bend already.
 */
export function twoBones(root, joint, end, target) {
  const upper = distance(root, joint),
    lower = distance(joint, end);
  const far = distance(root, target);
  const reach = Math.min(Math.max(far, Math.abs(upper - lower)), upper + lower);
  const a = sub(joint, root),
    b = sub(end, root);
  const side = a[0] * b[1] - a[1] * b[0] > 0 ? -1 : 1;
  const cosine =
    reach < 1e-9 || upper < 1e-9 ? 1 : (upper * upper + reach * reach - lower * lower) / (2 * upper * reach);
  const bend = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const direction = far < 1e-9 ? angle(b) : angle(sub(target, root));
  const place = (length, radians) => add(root, [length * Math.cos(radians), length * Math.sin(radians)]);
  return [place(upper, direction + side * bend), place(reach, direction)];
}

/**
 * A chain of bones whose first point stays and whose last goes as near to `target` as it can (FABRIK: Aristidou and
 * Lasenby 2011). All lengths are as they were.
 */
export function reach(chain, target, rounds = 24) {
  const lengths = chain.slice(1).map((point, i) => distance(chain[i], point));
  let points = bent(chain, lengths, target);
  for (let round = 0; round < rounds && distance(points.at(-1), target) > 1e-4; round++) {
    points = forwards([...points].reverse(), [...lengths].reverse(), target).reverse();
    points = forwards(points, lengths, chain[0]);
  }
  return points;
}

function forwards(points, lengths, start) {
  const placed = [start];
  lengths.forEach((length, i) => placed.push(atLength(placed[i], points[i + 1], length)));
  return placed;
}

/** A straight chain is bent a little, or nothing could make it shorter. */
function bent(chain, lengths, target) {
  const root = chain[0],
    whole = lengths.reduce((sum, length) => sum + length, 0);
  if (distance(root, target) >= whole || distance(root, chain.at(-1)) < whole * (1 - 1e-6)) return [...chain];
  const [x, y] = sub(chain.at(-1), root);
  const points = chain.map((p, i) => (i > 0 && i < chain.length - 1 ? add(p, scale([-y, x], 0.05)) : p));
  return forwards(points, lengths, root);
}

/** Below this measure of how open the palm's triangle is, a hand is seen from the side (runtime/pose/view.py). */
const EDGE_ON = 0.2;

/** Which face of a hand is seen: palm, back or side. */
export function handView(points, side) {
  const [wrist, index, little] = [points[0], points[INDEX_BASE], points[LITTLE_BASE]];
  if (!wrist || !index || !little) return "side";
  const a = sub(index, wrist),
    b = sub(little, wrist);
  const longest = Math.max(a[0] * a[0] + a[1] * a[1], b[0] * b[0] + b[1] * b[1], 1e-9);
  const open = ((a[0] * b[1] - a[1] * b[0]) / longest) * (side === "left" ? 1 : -1);
  return Math.abs(open) < EDGE_ON ? "side" : open > 0 ? "palm" : "back";
}
