// What is being posed: people on a canvas with their history, who is chosen, and the photo below. Says when it changes.
// Knows nothing about how it is drawn.

import { bounds, distance } from "./geometry.js";
import { moveJoint } from "./moving.js";
import { everyPoint, fit, hasHand, History, mirrored, moved, withoutHand, withPerson, withPoint } from "./pose.js";
import { BODY, HAND, SIDES, WRIST } from "./skeleton.js";

export class Board extends EventTarget {
  #history;
  #during = null; // the pose as it is while a finger is down
  #before = null;

  /** @param pose as pose.js has it */
  constructor(pose) {
    super();
    this.#history = new History(pose);
    this.chosen = { person: 0, side: "left", joint: null };
    this.photo = null; // {image, opacity, url}
    this.keepLengths = true;
  }

  get pose() {
    return this.#during ?? this.#history.present;
  }

  get person() {
    return this.pose.people[this.chosen.person] ?? null;
  }

  get hand() {
    return this.person?.[this.chosen.side] ?? null;
  }

  /** Whether something is held. */
  get dragging() {
    return this.#before !== null;
  }

  get canUndo() {
    return this.#history.canUndo;
  }

  get canRedo() {
    return this.#history.canRedo;
  }

  #say() {
    this.dispatchEvent(new Event("change"));
  }

  /** Another pose, which an undo takes back. */
  commit(pose) {
    this.#during = null;
    this.#history.commit(pose);
    this.#settle();
  }

  undo() {
    this.#history.undo();
    this.#settle();
  }

  redo() {
    this.#history.redo();
    this.#settle();
  }

  /** Whoever was chosen may be no more. */
  #settle() {
    const { chosen, pose } = this;
    chosen.person = Math.max(0, Math.min(chosen.person, pose.people.length - 1));
    if (chosen.joint && !this.person?.[chosen.joint.part][chosen.joint.index]) chosen.joint = null;
    this.#say();
  }

  /** The chosen person as `change` makes them. */
  edit(change) {
    if (this.person) this.commit(withPerson(this.pose, this.chosen.person, change(this.person)));
  }

  /** The chosen hand as `change` makes it. */
  editHand(change) {
    const { side } = this.chosen;
    this.edit((person) => ({ ...person, [side]: change(person[side]) }));
  }

  choose(more) {
    Object.assign(this.chosen, more);
    const part = this.chosen.joint?.part;
    if (SIDES.includes(part)) this.chosen.side = part;
    this.#say();
  }

  /** Begins a change that one undo takes back, however many moves it has. */
  grab() {
    this.#before = this.#during = this.pose;
  }

  /** The person as they were when grabbed, changed. */
  drag(change) {
    if (!this.#before) return;
    const person = this.#before.people[this.chosen.person];
    this.#during = withPerson(this.#before, this.chosen.person, change(person));
    this.#say();
  }

  drop() {
    const made = this.#during;
    this.#during = this.#before = null;
    if (made) this.#history.commit(made);
    this.#settle();
  }

  /** The grabbed joint's person, once it is moved. */
  moving(joint, to, stretch) {
    return (person) => moveJoint(person, joint, to, stretch !== !this.keepLengths);
  }

  nudge(by, stretch) {
    const { joint } = this.chosen,
      from = joint && this.person[joint.part][joint.index];
    if (from) this.edit(this.moving(joint, [from[0] + by[0], from[1] + by[1]], stretch));
  }

  /** The next joint of the chosen person among `parts`, forwards or backwards. */
  step(parts, by) {
    if (!this.person) return;
    const all = parts.flatMap((part) => (part === "body" ? BODY : HAND).map((_, index) => ({ part, index })));
    const known = all.filter(({ part, index }) => this.person[part][index]);
    if (!known.length) return;
    const { joint } = this.chosen;
    const at = known.findIndex((each) => joint && each.part === joint.part && each.index === joint.index);
    this.choose({ joint: known[at < 0 ? 0 : (at + by + known.length) % known.length] });
  }

  removeJoint() {
    const { joint } = this.chosen;
    if (joint) this.edit((person) => withPoint(person, joint.part, joint.index, null));
  }

  removeHand() {
    this.edit((person) => withoutHand(person, this.chosen.side));
  }

  /** One more, beside the last. */
  addPerson(person) {
    const { width } = this.pose,
      last = this.pose.people.length;
    const shift = last ? (last % 2 ? 0.22 : -0.22) * width : 0;
    this.chosen = { person: last, side: "left", joint: null };
    this.commit({ ...this.pose, people: [...this.pose.people, moved(person, ([x, y]) => [x + shift, y])] });
  }

  removePerson() {
    if (this.person) this.commit(withPerson(this.pose, this.chosen.person, null));
  }

  mirrorPerson() {
    const box = this.person && bounds(everyPoint(this.person));
    if (box) this.edit((person) => mirrored(person, box.x + box.width / 2));
  }

  /** A photo's size, or the picture's. */
  resize(width, height) {
    if (this.pose.width !== width || this.pose.height !== height) this.commit(fit(this.pose, width, height));
  }

  /** What lies nearest to a point, {person, joint, distance}; the chosen person first where it is close. */
  nearest(point, parts) {
    let best = null;
    this.pose.people.forEach((person, i) => {
      const sides = SIDES.filter((side) => hasHand(person, side));
      for (const part of parts) {
        person[part].forEach((p, index) => {
          if (!p || (part === "body" && hidden(person, index, sides))) return;
          const far = distance(p, point) * (i === this.chosen.person ? 0.8 : 1);
          if (!best || far < best.distance) best = { person: i, joint: { part, index }, distance: far };
        });
      }
    });
    return best;
  }

  /** A photo to trace over, {image, url, opacity, blob}, or none. */
  setPhoto(photo) {
    this.photo = photo;
    this.#say();
  }
}

/** A body's wrist under that of its hand: one of the two is enough to take hold of. */
const hidden = (person, index, sides) => sides.some((side) => index === WRIST[side]);
