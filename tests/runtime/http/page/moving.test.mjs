// Joints moved, poses mirrored, read, written, undone. Run by test_page_geometry.py.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Board } from "./board.js";
import { distance } from "./geometry.js";
import { moveJoint } from "./moving.js";
import { everyPoint, fit, fromA1111, handsOf, History, mirrored, toA1111 } from "./pose.js";
import { HAND_EDGES, LIMBS, MIRRORED, MIRRORED_FACE, NECK, NOSE, SHOULDER, WRIST } from "./skeleton.js";

const figure = JSON.parse(readFileSync(new URL("./figure.json", import.meta.url))).pose;
const pose = fromA1111(figure),
  person = pose.people[0];
const close = (a, b, slack = 1e-6) => assert.ok(Math.abs(a - b) <= slack, `${a} is not ${b}`);

function sameBones(before, after, except = []) {
  for (const [a, b] of LIMBS) {
    if (!before.body[a] || !before.body[b] || except.includes(`${a}-${b}`)) continue;
    close(distance(after.body[a], after.body[b]), distance(before.body[a], before.body[b]), 1e-6);
  }
  for (const side of ["left", "right"]) sameHand(before[side], after[side]);
}
const sameHand = (before, after) =>
  HAND_EDGES.forEach(([a, b]) => close(distance(after[a], after[b]), distance(before[a], before[b]), 1e-6));

test("every joint of the body keeps all bones, whichever is dragged", () => {
  person.body.forEach((from, index) => {
    if (!from) return;
    const after = moveJoint(person, { part: "body", index }, [from[0] + 17, from[1] - 9]);
    sameBones(person, after);
    assert.notDeepEqual(after, person);
  });
});

test("every joint of a hand keeps all bones; the root of a finger stays when its tip is dragged", () => {
  for (let index = 1; index < 21; index++) {
    const from = person.right[index];
    const after = moveJoint(person, { part: "right", index }, [from[0] - 6, from[1] - 4]);
    sameHand(person.right, after.right);
    assert.deepEqual(after.left, person.left);
    assert.deepEqual(after.body, person.body);
  }
  const bent = moveJoint(person, { part: "right", index: 8 }, person.right[6]);
  assert.deepEqual(bent.right[5], person.right[5]);
  close(distance(bent.right[8], person.right[6]), 0, 0.5);
});

test("stretched, one joint goes alone and where it is told", () => {
  const after = moveJoint(person, { part: "left", index: 12 }, [1, 2], true);
  assert.deepEqual(after.left[12], [1, 2]);
  assert.deepEqual(after.left.toSpliced(12, 1), person.left.toSpliced(12, 1));
});

test("a hand goes with its arm, whichever of the two wrists is dragged", () => {
  const to = [person.body[WRIST.left][0] - 20, person.body[WRIST.left][1] + 8];
  const by = (after) => [after.left[9][0] - person.left[9][0], after.left[9][1] - person.left[9][1]];
  const arm = moveJoint(person, { part: "body", index: WRIST.left }, to);
  const wrist = person.left[0];
  const hand = moveJoint(person, { part: "left", index: 0 }, [wrist[0] - 20, wrist[1] + 8]);
  by(arm).forEach((d, i) => close(d, [-20, 8][i], 1e-6));
  assert.deepEqual(by(hand), by(arm));
  assert.deepEqual(arm.right, person.right);
});

test("out of reach, an arm is straight and no longer", () => {
  const [shoulder, elbow, wrist] = [5, 6, 7].map((i) => person.body[i]);
  const after = moveJoint(person, { part: "body", index: 7 }, [5000, 5000]);
  close(distance(after.body[5], after.body[7]), distance(shoulder, elbow) + distance(elbow, wrist), 1e-6);
});

test("the neck is the middle of the shoulders, as files have it", () => {
  for (const stretch of [false, true]) {
    const { body } = moveJoint(person, { part: "body", index: SHOULDER.left }, [350, 260], stretch);
    body[NECK].forEach((value, axis) => close(value, (body[2][axis] + body[5][axis]) / 2, 1e-9));
  }
});

test("a head takes its face along", () => {
  const after = moveJoint(person, { part: "body", index: NOSE }, [280, 140]);
  close(distance(after.face[0], after.body[NOSE]), distance(person.face[0], person.body[NOSE]));
});

test("mirrored twice it is as it was, and once it has other sides", () => {
  const once = mirrored(person, 256);
  assert.deepEqual(once.left[8], [512 - person.right[8][0], person.right[8][1]]);
  const twice = mirrored(once, 256);
  everyPoint(twice).forEach((p, i) => p.forEach((value, axis) => close(value, everyPoint(person)[i][axis], 1e-9)));
  for (const map of [MIRRORED, MIRRORED_FACE]) map.forEach((to, from) => assert.equal(map[to], from));
});

test("written and read again it is the same, absent parts are null", () => {
  assert.deepEqual(fromA1111(toA1111(pose)), pose);
  assert.deepEqual(toA1111(pose), figure);
  const none = { ...person, left: person.left.map(() => null) };
  assert.equal(toA1111({ ...pose, people: [none] }).people[0].hand_left_keypoints_2d, null);
  assert.deepEqual(handsOf({ ...pose, people: [none] }), [{ person: 0, side: "right" }]);
});

test("fitted to another canvas, by hand: scaled evenly, centred", () => {
  const fitted = fit(
    { width: 100, height: 200, people: [{ body: [[10, 20]], face: [], left: [], right: [] }] },
    100,
    100,
  );
  assert.deepEqual(fitted.people[0].body[0], [30, 10]);
});

test("a history forgets what was undone once there is something new", () => {
  const history = new History(0);
  [1, 2, 3].forEach((each) => history.commit(each));
  history.undo();
  history.undo();
  assert.equal(history.present, 1);
  history.redo();
  assert.equal(history.present, 2);
  history.commit(9);
  assert.ok(!history.canRedo);
  history.undo();
  assert.equal(history.present, 2);
  for (let i = 0; i < 500; i++) history.commit(`${i}`);
  let steps = 0;
  while (history.canUndo) (history.undo(), steps++);
  assert.equal(steps, 200);
});

test("a drag is one step back, however many moves it has", () => {
  const board = new Board(pose),
    joint = { part: "right", index: 8 };
  board.choose({ joint });
  board.grab();
  for (let i = 1; i < 10; i++) board.drag(board.moving(joint, [100 + i, 90], false));
  board.drop();
  assert.notDeepEqual(board.pose, pose);
  board.undo();
  assert.deepEqual(board.pose, pose);
  assert.ok(!board.canUndo);
});

test("people are added, chosen, removed", () => {
  const board = new Board(pose);
  board.addPerson(person);
  assert.equal(board.pose.people.length, 2);
  assert.equal(board.chosen.person, 1);
  board.removePerson();
  assert.equal(board.chosen.person, 0);
  assert.deepEqual(board.pose, pose);
  board.removePerson();
  assert.equal(board.person, null);
  board.undo();
  assert.deepEqual(board.pose, pose);
});
