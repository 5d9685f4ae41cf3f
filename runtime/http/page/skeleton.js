// Which point is what: OpenPose's 18 body points, and the 21 of a hand. Tables only; nothing here knows where they lie.

export const SIDES = ["left", "right"];

export const BODY = [
  "nose",
  "neck",
  "right shoulder",
  "right elbow",
  "right wrist",
  "left shoulder",
  "left elbow",
  "left wrist",
  "right hip",
  "right knee",
  "right ankle",
  "left hip",
  "left knee",
  "left ankle",
  "right eye",
  "left eye",
  "right ear",
  "left ear",
];
export const NOSE = 0,
  NECK = 1;
export const SHOULDER = { right: 2, left: 5 };
export const ELBOW = { right: 3, left: 6 };
export const WRIST = { right: 4, left: 7 };
export const SHOULDERS = [SHOULDER.right, SHOULDER.left];

// What a body point hangs from; the neck hangs from nothing.
export const PARENT = [1, null, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15];
export const LIMBS = PARENT.map((parent, child) => [parent, child]).filter(([parent]) => parent !== null);
// Ends of two bones that bend in the middle: root, middle, end.
export const ARMS_AND_LEGS = { 4: [2, 3, 4], 7: [5, 6, 7], 10: [8, 9, 10], 13: [11, 12, 13] };

// The same, mirrored: left is right.
export const MIRRORED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16];
// OpenPose's 70 face points: outline, brows, nose, eyes, mouth, pupils; mirrored.
export const MIRRORED_FACE = [
  16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30, 35,
  34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64,
  63, 62, 61, 60, 67, 66, 65, 69, 68,
];

export const HAND_POINTS = 21,
  FACE_POINTS = 70;
export const FINGERS = ["thumb", "index", "middle", "ring", "little"];
const JOINTS = ["base", "middle", "upper", "tip"];
export const HAND = ["wrist", ...FINGERS.flatMap((finger) => JOINTS.map((joint) => `${finger} ${joint}`))];
export const INDEX_BASE = 5,
  MIDDLE_BASE = 9,
  LITTLE_BASE = 17;
export const KNUCKLES = [5, 9, 13, 17];

/** The finger that a hand's point belongs to, 0 to 4; null for the wrist. */
export const fingerOf = (index) => (index === 0 ? null : Math.floor((index - 1) / 4));
/** Points of a finger, from the palm to the tip. */
export const fingerPoints = (finger) => [1, 2, 3, 4].map((joint) => 4 * finger + joint);
export const isTip = (index) => index > 0 && index % 4 === 0;
export const HAND_EDGES = FINGERS.flatMap((_, finger) => {
  const points = fingerPoints(finger);
  return [
    [0, points[0]],
    [points[0], points[1]],
    [points[1], points[2]],
    [points[2], points[3]],
  ];
});

/** All body points that hang from one, itself among them. */
export function subtree(index) {
  const found = [index];
  for (const each of found) PARENT.forEach((parent, child) => parent === each && found.push(child));
  return found;
}

/** What people call a point. */
export const nameOf = ({ part, index }) => (part === "body" ? BODY[index] : `${part} hand, ${HAND[index]}`);
