// One picture from its request to its end: sent, watched, cancelled. What happens is told to whoever shows it.

import { Refused } from "./api.js";

const CHANGES = "region"; // what is kept of the hands, which gives way step by step
const ENDS = { failed: "It failed", "timed-out": "It took too long", cancelled: "Cancelled" };

export class Work {
  #abort = new AbortController();
  #seen = new Set();
  #looking = false;
  #over = false;

  /**
   * @param client of api.js
   * @param show {line(text), step(data), piece(name, blob)}
   */
  constructor(client, show) {
    this.client = client;
    this.show = show;
    this.id = null;
  }

  /** The job at its end, with its pictures as blobs; null where it was cancelled. */
  async run(body) {
    const { client, show } = this,
      { signal } = this.#abort;
    show.line("Sent");
    const job = await client.submit(
      body,
      (seconds) => show.line(`The server is busy; asks again in ${seconds} s`),
      signal,
    );
    this.id = job.id;
    if (signal.aborted) await client.cancel(job.id);
    for await (const { name, data } of client.events(job.id)) {
      if (name === "state") show.line(data.state === "running" ? "Draws" : waiting(data.position));
      else if (name === "step") (show.step(data), this.#look(data.known));
      else return this.#ended(data);
    }
    return null;
  }

  /** Fetches what is new, and what changes with every step, one at a time: a slow line skips some. */
  async #look(known) {
    const wanted = known.filter((name) => name === CHANGES || !this.#seen.has(name));
    if (this.#looking || !wanted.length) return;
    this.#looking = true;
    try {
      for (const name of wanted) {
        const blob = await this.client.known(this.id, name);
        if (blob && !this.#over) (this.#seen.add(name), this.show.piece(name, blob));
      }
    } catch {
      // the picture is what counts; its pieces come with it
    } finally {
      this.#looking = false;
    }
  }

  async #ended(job) {
    this.#over = true;
    if (job.state === "cancelled") return null;
    if (job.state !== "succeeded")
      throw new Refused(0, { ...job.error, message: `${ENDS[job.state] ?? job.state}: ${job.error.message}` });
    const blobs = job.result.pictures.map(async (picture) => ({
      ...picture,
      blob: await this.client.picture(picture.href),
    }));
    return { ...job, pictures: await Promise.all(blobs) };
  }

  /** Within a step; what waits to be sent is not sent. */
  async cancel() {
    this.#abort.abort(new DOMException("cancelled", "AbortError"));
    if (this.id) await this.client.cancel(this.id);
  }
}

const waiting = (position) => (position ? `Waits behind ${position} other${position === 1 ? "" : "s"}` : "Is next");
