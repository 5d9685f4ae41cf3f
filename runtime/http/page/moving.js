// What follows when one joint of a person is moved: bones keep their lengths, or that one joint alone goes.
// Hands hang from wrists, the face from the nose.

import { add, atLength, each, reach, sub, towards, twoBones } from "./geometry.js";
import { moved, withNeck, withPoint } from "./pose.js";
import {
  ARMS_AND_LEGS,
  fingerOf,
  fingerPoints,
  isTip,
  NECK,
  NOSE,
  PARENT,
  SHOULDER,
  SHOULDERS,
  SIDES,
  subtree,
  WRIST,
} from "./skeleton.js";

/**
 * @param joint {part: "body" | "left" | "right", index}
 * @param to where it shall be, [x, y]
 * @param stretch whether bones may change their lengths: then the joint alone goes, with what hangs from it by no bone
 * @returns the person afterwards; a joint that nobody knows stays unknown
 */
export function moveJoint(person, { part, index }, to, stretch = false) {
  const from = person[part][index];
  if (!from) return person;
  if (part === "body") return withNeck(moveBody(person, index, to, stretch));
  return index === 0
    ? moveWrist(person, part, to, stretch)
    : { ...person, [part]: moveFinger(person[part], index, to, stretch) };
}

function moveBody(person, index, to, stretch) {
  const from = person.body[index];
  const by = (p) => add(p, sub(to, from));
  if (index === NECK || PARENT[index] === null) return moved(person, by);
  if (stretch) return carry(person, index, by);
  const root = person.body[PARENT[index]];
  if (!root) return carry(person, index, by);
  if (ARMS_AND_LEGS[index]) return bend(person, ARMS_AND_LEGS[index], to);
  if (SHOULDERS.includes(index)) return tilt(person, root, from, to);
  return change(person, subtree(index), towards(root, from, to));
}

/** These body points, and what hangs from them by no bone of the body. */
function change(person, indices, move) {
  const body = person.body.map((p, i) => (p && indices.includes(i) ? move(p) : p));
  const side = SIDES.find((each) => indices.includes(WRIST[each]));
  const next = { ...person, body };
  if (side) next[side] = each(person[side], move);
  if (indices.includes(NOSE)) next.face = each(person.face, move);
  return next;
}

/** One joint alone, with its hand, or its head. */
const carry = (person, index, by) => change(person, index === NOSE ? subtree(NOSE) : [index], by);

/** Arm or leg: root stays, the middle bends; the hand goes along without turning. */
function bend(person, [root, middle, end], to) {
  const [r, m, e] = [root, middle, end].map((i) => person.body[i]);
  if (!r || !m) return carry(person, end, (p) => add(p, sub(m ? atLength(m, to, Math.hypot(...sub(e, m))) : to, e)));
  const [newMiddle, newEnd] = twoBones(r, m, e, to);
  return change(withPoint(person, "body", middle, newMiddle), [end], (p) => add(p, sub(newEnd, e)));
}

/** Shoulders turn together about the neck between them; each arm goes with its own. */
function tilt(person, neck, from, to) {
  const move = towards(neck, from, to);
  return SIDES.reduce((next, side) => {
    const shoulder = person.body[SHOULDER[side]];
    return shoulder ? change(next, subtree(SHOULDER[side]), (p) => add(p, sub(move(shoulder), shoulder))) : next;
  }, person);
}

/** The hand's own wrist: the arm follows it, where there is one. */
function moveWrist(person, side, to, stretch) {
  const by = sub(to, person[side][0]),
    wrist = person.body[WRIST[side]];
  if (wrist) return withNeck(moveBody(person, WRIST[side], add(wrist, by), stretch));
  return { ...person, [side]: each(person[side], (p) => add(p, by)) };
}

/** A hand's 21 points after one of a finger has moved. */
export function moveFinger(hand, index, to, stretch) {
  if (stretch) return hand.with(index, to);
  const finger = fingerPoints(fingerOf(index)),
    at = finger.indexOf(index);
  const chain = finger.map((i) => hand[i]);
  if (isTip(index) && chain.every(Boolean)) {
    const placed = reach(chain, to);
    return hand.map((p, i) => (finger.includes(i) ? placed[finger.indexOf(i)] : p));
  }
  const root = at === 0 ? hand[0] : chain[at - 1];
  if (!root) return hand.with(index, to);
  const move = towards(root, hand[index], to);
  return hand.map((p, i) => (p && finger.includes(i) && i >= index ? move(p) : p));
}
