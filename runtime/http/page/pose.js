// People on a canvas as plain values that are never changed, the editors' JSON of them, and a history of them.

import { each, middle, scale, add } from "./geometry.js";
import { BODY, FACE_POINTS, HAND_POINTS, MIRRORED, MIRRORED_FACE, NECK, SHOULDER, SIDES } from "./skeleton.js";

const PARTS = {
  body: ["pose_keypoints_2d", BODY.length],
  face: ["face_keypoints_2d", FACE_POINTS],
  left: ["hand_left_keypoints_2d", HAND_POINTS],
  right: ["hand_right_keypoints_2d", HAND_POINTS],
};
export const LEAST_HAND_POINTS = 6;

const none = (count) => Array(count).fill(null);

/** @returns {{width: number, height: number, people: object[]}} what A1111's and ComfyUI's editors write. */
export function fromA1111(data) {
  const people = (data.people ?? []).map((person) => {
    const read = ([name, count]) => points(person[name], count);
    return Object.fromEntries(Object.entries(PARTS).map(([part, spec]) => [part, read(spec)]));
  });
  return { width: data.canvas_width, height: data.canvas_height, people };
}

function points(flat, count) {
  const found = none(count);
  for (let i = 0; flat && i < count && 3 * i + 2 < flat.length; i++) {
    if (flat[3 * i + 2] > 0) found[i] = [flat[3 * i], flat[3 * i + 1]];
  }
  return found;
}

/** The same, back; a part without a point is null, as those editors have it. */
export function toA1111(pose) {
  const flat = (part) => part.flatMap((point) => (point ? [round(point[0]), round(point[1]), 1] : [0, 0, 0]));
  const people = pose.people.map((person) =>
    Object.fromEntries(
      Object.entries(PARTS).map(([part, [name]]) => [name, person[part].some(Boolean) ? flat(person[part]) : null]),
    ),
  );
  return { people, animals: [], canvas_width: pose.width, canvas_height: pose.height };
}

const round = (value) => Math.round(value * 1000) / 1000;

/** A person with every point moved, and the neck where the shoulders have their middle. */
export const moved = (person, move) =>
  Object.fromEntries(Object.entries(person).map(([part, points]) => [part, each(points, move)]));

/** Files say no neck of their own: it is the middle of the shoulders. */
export function withNeck(person) {
  const [left, right] = [person.body[SHOULDER.left], person.body[SHOULDER.right]];
  if (!left || !right) return person;
  const body = [...person.body];
  body[NECK] = middle(left, right);
  return { ...person, body };
}

/** Scaled evenly until it fits, then centred: as the server puts a pose on its picture. */
export function fit(pose, width, height) {
  if (pose.width === width && pose.height === height) return pose;
  const size = Math.min(width / pose.width, height / pose.height);
  const offset = [(width - size * pose.width) / 2, (height - size * pose.height) / 2];
  return { width, height, people: pose.people.map((person) => moved(person, (p) => add(scale(p, size), offset))) };
}

/** A person's mirror image about a vertical line: what was left is right. */
export function mirrored(person, x) {
  const flipped = moved(person, (p) => [2 * x - p[0], p[1]]);
  return {
    body: MIRRORED.map((index) => flipped.body[index]),
    face: MIRRORED_FACE.map((index) => flipped.face[index]),
    left: flipped.right,
    right: flipped.left,
  };
}

export const everyPoint = (person) => Object.values(person).flat().filter(Boolean);
export const hasHand = (person, side) => person[side].filter(Boolean).length >= LEAST_HAND_POINTS;
/** Hands of all people: [{person, side}]. */
export const handsOf = (pose) =>
  pose.people.flatMap((person, i) =>
    SIDES.filter((side) => hasHand(person, side)).map((side) => ({ person: i, side })),
  );

/** A pose with one person replaced, or without, where there is none any more. */
export const withPerson = (pose, index, person) => ({
  ...pose,
  people: person ? pose.people.with(index, person) : pose.people.toSpliced(index, 1),
});
export const withPoint = (person, part, index, point) => ({ ...person, [part]: person[part].with(index, point) });
export const withoutHand = (person, side) => ({ ...person, [side]: none(HAND_POINTS) });
export const EMPTY_PERSON = Object.fromEntries(Object.entries(PARTS).map(([part, [, count]]) => [part, none(count)]));

const MOST_KEPT = 200;

/** What was, is, and was undone. */
export class History {
  #past = [];
  #future = [];

  constructor(present) {
    this.present = present;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** From now on it is like that; `before` is what an undo leads back to, where that is not what is there now. */
  commit(next, before = this.present) {
    if (next === before) return;
    this.#past = [...this.#past, before].slice(-MOST_KEPT);
    this.#future = [];
    this.present = next;
  }

  undo() {
    if (!this.canUndo) return;
    this.#future.push(this.present);
    this.present = this.#past.pop();
  }

  redo() {
    if (!this.canRedo) return;
    this.#past.push(this.present);
    this.present = this.#future.pop();
  }
}
