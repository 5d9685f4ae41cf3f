// Points, chains and hands of the page, against formulas and properties. Run by test_page_geometry.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bounds, distance, handView, mirror, reach, towards, turn, twoBones } from "./geometry.js";
import { copied, direction, palm, put, seen, sized, square, turnedOver } from "./hands.js";
import { HAND_EDGES } from "./skeleton.js";

// a generator of its own, so that a failure comes again (mulberry32)
function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const random = chance(7);
const point = (size = 100) => [random() * size - size / 2, random() * size - size / 2];
const close = (a, b, slack = 1e-6) => assert.ok(Math.abs(a - b) <= slack, `${a} is not ${b}`);
const same = (a, b, slack) => (close(a[0], b[0], slack), close(a[1], b[1], slack));

test("a quarter turn, by hand", () => same(turn([1, 1], Math.PI / 2)([2, 1]), [1, 2]));
test("a mirror image across x = y, by hand", () => same(mirror([0, 0], [1, 1])([3, 1]), [1, 3]));
test("a turn towards a point", () => same(towards([0, 0], [2, 0], [0, 5])([2, 0]), [0, 2]));
test("a box of what is known", () =>
  assert.deepEqual(bounds([[1, 5], null, [4, 2]]), { x: 1, y: 2, width: 3, height: 3 }));

test("two bones, by hand: 3, 4 and 5 meet in a right angle", () => {
  const [middle, end] = twoBones([0, 0], [3, 0], [3, 4], [5, 0]);
  same(end, [5, 0]);
  close(distance([0, 0], middle), 3);
  close(distance(middle, end), 4);
  close(middle[0] * (end[0] - middle[0]) + middle[1] * (end[1] - middle[1]), 0);
});

test("two bones keep their lengths, and reach whatever can be reached", () => {
  for (let i = 0; i < 500; i++) {
    const [root, joint, end, target] = [point(), point(), point(), point(300)];
    const [a, b] = [distance(root, joint), distance(joint, end)];
    const [middle, reached] = twoBones(root, joint, end, target);
    close(distance(root, middle), a);
    close(distance(middle, reached), b);
    const far = distance(root, target);
    const expected = Math.max(0, far - a - b, Math.abs(a - b) - far);
    close(distance(reached, target), expected, 1e-5);
  }
});

test("two bones bend to the side to which they bent", () => {
  const side = (r, m, e) => {
    const open = (m[0] - r[0]) * (e[1] - r[1]) - (m[1] - r[1]) * (e[0] - r[0]);
    return Math.abs(open) < 1e-6 ? 0 : Math.sign(open); // 0: stretched, or folded, as far as it goes
  };
  for (let i = 0; i < 200; i++) {
    const [root, joint, end] = [point(), point(), point()];
    const target = [root[0] + (end[0] - root[0]) * 0.9 + 0.01, root[1] + (end[1] - root[1]) * 0.9];
    const [middle, reached] = twoBones(root, joint, end, target);
    assert.ok([0, side(root, joint, end)].includes(side(root, middle, reached)));
  }
});

test("a chain keeps its lengths and its root, and reaches whatever can be reached", () => {
  for (let i = 0; i < 300; i++) {
    const chain = [point(), point(), point(), point()],
      target = point(400);
    const lengths = [1, 2, 3].map((j) => distance(chain[j - 1], chain[j]));
    const moved = reach(chain, target, 400);
    assert.deepEqual(moved[0], chain[0]);
    lengths.forEach((length, j) => close(distance(moved[j], moved[j + 1]), length, 1e-6));
    const whole = lengths[0] + lengths[1] + lengths[2],
      longest = Math.max(...lengths),
      far = distance(chain[0], target);
    const expected = Math.max(0, far - whole, 2 * longest - whole - far);
    close(distance(moved[3], target), expected, 0.02 * whole);
  }
});

test("a straight finger can be bent", () => {
  const moved = reach(
    [
      [0, 0],
      [10, 0],
      [20, 0],
      [30, 0],
    ],
    [15, 0],
  );
  close(distance(moved[3], [15, 0]), 0, 0.01);
});

// a flat hand, fingers up, thumb to the right: palm of a right hand
const HAND = [
  [0, 0],
  ...[0.8, 0.35, 0.05, -0.25, -0.5].flatMap((x, f) =>
    [1, 2, 3, 4].map((j) => [x * (1 + 0.2 * j), -(f ? 2 + 0.5 * j : 0.6 * j)]),
  ),
];

test("which face is seen follows from the side", () => {
  assert.equal(handView(HAND, "right"), "palm");
  assert.equal(handView(HAND, "left"), "back");
  assert.equal(
    handView(
      HAND.map(([x, y]) => [-x, y]),
      "left",
    ),
    "palm",
  );
  assert.equal(
    handView(
      HAND.map(([x, y]) => [0.05 * x, y]),
      "right",
    ),
    "side",
  );
  assert.equal(handView(HAND.with(5, null), "right"), "side");
});

test("turned over, a hand shows its other face and keeps its bones and its direction", () => {
  const over = turnedOver(HAND);
  assert.equal(handView(over, "right"), "back");
  close(direction(over), direction(HAND));
  for (const [a, b] of HAND_EDGES) close(distance(over[a], over[b]), distance(HAND[a], HAND[b]));
  turnedOver(over).forEach((p, i) => same(p, HAND[i]));
});

test("a gesture goes where it is put", () => {
  const shape = seen(
    HAND.map(([x, y]) => [x, -y, 0]),
    "right",
    "palm",
  );
  for (let i = 0; i < 50; i++) {
    const at = { wrist: point(), radians: random() * 6 - 3, length: 1 + 50 * random() };
    const hand = put(shape, at);
    same(hand[0], at.wrist);
    close(palm(hand), at.length);
    close(Math.cos(direction(hand) - at.radians), 1);
    assert.equal(handView(hand, "right"), "palm");
  }
});

test("copied to the other side, a hand shows the same face", () => {
  const other = copied(HAND, { wrist: [5, 5], radians: 1, length: 3 });
  assert.equal(handView(other, "left"), "palm");
  same(other[0], [5, 5]);
  close(palm(other), 3);
});

test("how large a hand is in the picture, by hand", () => {
  const limits = { margin: 1.5, least: 0.125, clear: 0.1875 },
    pose = { width: 512, height: 512 },
    picture = { width: 192, height: 192 };
  const hand = [
    [100, 100],
    [140, 120],
  ];
  assert.deepEqual(square(hand, limits, 512), { x: 88, y: 78, side: 64 }); // 60 would be less than 512 / 8
  const small = sized(hand, limits, pose, picture);
  close(small.pixels, 24);
  close(small.needed, 36);
  assert.ok(small.small);
  assert.ok(
    !sized(
      [
        [100, 100],
        [165, 120],
      ],
      limits,
      pose,
      picture,
    ).small,
  ); // 1.5 * 65 * 192 / 512 = 36.6
});
