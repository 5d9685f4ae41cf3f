// Photos whose hands are repaired: what is found in one, and what is asked of the model about the chosen hand.

import { $, aloud, dataUrl, imageOf, tell } from "./dom.js";
import { Board } from "./board.js";
import { hasHand, EMPTY_PERSON, fromA1111, handsOf, toA1111 } from "./pose.js";

const BLANK = { width: 512, height: 512, people: [] };

export class Repair {
  /**
   * @param client of api.js
   * @param finds () => whether the server finds poses in photos
   */
  constructor(client, finds) {
    Object.assign(this, { client, finds });
    this.board = new Board(BLANK);
    this.photo = null; // data: URL
  }

  /** A photo, and the hands that are found in it. */
  async take(blob) {
    const url = URL.createObjectURL(blob),
      image = await imageOf(url),
      { naturalWidth: width, naturalHeight: height } = image;
    this.photo = await dataUrl(blob);
    this.board.setPhoto({ image, url, blob, opacity: 1 });
    const pose = this.finds() ? await this.#found(width, height) : { width, height, people: [EMPTY_PERSON] };
    this.board.commit(pose);
    const [first] = handsOf(pose);
    this.board.choose(first ? { ...first, joint: null } : { person: 0, side: "right", joint: null });
  }

  async #found(width, height) {
    try {
      const told = await this.client.readPose(this.photo);
      const pose = fromA1111(told.pose),
        hands = handsOf(pose).length;
      aloud(`${hands} hands found`);
      if (!hands) tell("No hand was found; choose a gesture, and put it where the hand is.");
      return pose;
    } catch (error) {
      if (error.status !== 422) throw error;
      tell(`${error.message}. Choose a gesture, and put it where the hand is.`);
      return { width, height, people: [EMPTY_PERSON] };
    }
  }

  /** What stands beside the photo. */
  show() {
    const { photo, board } = this;
    $("drop").hidden = Boolean(photo);
    $("drop-line").textContent = this.finds()
      ? "Its hands are found, and one of them is drawn anew."
      : "This server has no detector: you show where the hand is.";
    $("repair-line").textContent = !photo
      ? "A photo first."
      : board.person && hasHand(board.person, board.chosen.side)
        ? `The ${board.chosen.side} hand of person ${board.chosen.person + 1} is drawn anew; the rest of the photo stays.`
        : "Choose a gesture, and put it where the hand is.";
  }

  /** What is asked: the chosen person alone, and one hand of theirs. */
  request() {
    const { board, photo } = this,
      { side } = board.chosen;
    if (!photo) throw new Error("a photo is needed: drop one on the board");
    if (!board.person || !hasHand(board.person, side))
      throw new Error(`there is no ${side} hand yet: choose a gesture, and put it where the hand is`);
    return { photo, pose: toA1111({ ...board.pose, people: [board.person] }), hand: side };
  }
}
