// The server as docs/serve.md has it: capabilities, poses, jobs and their events. Addresses are relative, so that the
// page works below any path. Knows nothing about the page.

const PATIENCE = 5; // times in a row that a lost connection is taken up again
const PAUSE_MS = 1000;
const MOST_WAIT_S = 30;

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, { code = "", message = `the server answered ${status}`, field = null } = {}, retry = null) {
    super(message);
    Object.assign(this, { name: "Refused", status, code, field, retry });
  }
}

export class Client {
  /** @param askToken called where the server wants a token: () => Promise of one */
  constructor(askToken) {
    this.askToken = askToken;
    this.token = sessionStorage.getItem("token");
  }

  async #fetch(path, options = {}) {
    const headers = { ...options.headers, ...(this.token && { Authorization: `Bearer ${this.token}` }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, { code: "lost", message: "the server does not answer; is it still running?" });
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && this.askToken) {
      this.token = await this.askToken();
      sessionStorage.setItem("token", this.token);
      return this.#fetch(path, options);
    }
    const body = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, body.error, Number(answer.headers.get("Retry-After")) || null);
  }

  async #json(path, body, headers = {}) {
    const asked =
      body === undefined
        ? {}
        : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
    return (await this.#fetch(path, asked)).json();
  }

  capabilities() {
    return this.#json("v1/capabilities");
  }

  /** A pose of any format that the library reads, or one that is found in a photo. */
  readPose(pose, more = {}) {
    return this.#json("v1/poses", { pose, ...more });
  }

  /** A job, once the server has room for it; `busy` hears how long it waits. The key makes it safe to send again. */
  async submit(body, busy, signal) {
    const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.#json("v1/jobs", body, headers);
      } catch (error) {
        if (![429, 503].includes(error.status)) throw error;
        const seconds = Math.min(error.retry ?? 2, MOST_WAIT_S);
        busy(seconds);
        await pause(seconds * 1000, signal);
      }
    }
  }

  cancel(id) {
    return this.#json(`v1/jobs/${id}/cancel`, {});
  }

  /** A job's events, {name, data}, until it ends; goes on where it was when the connection is lost. */
  async *events(id, signal) {
    let last = 0,
      lost = 0;
    for (;;) {
      try {
        const answer = await this.#fetch(`v1/jobs/${id}/events?preview=data`, {
          headers: { "Last-Event-ID": String(last) },
          signal,
        });
        for await (const event of parsed(answer.body)) {
          [last, lost] = [event.id, 0];
          yield event;
          if (event.name === "end") return;
        }
      } catch (error) {
        if (error.name === "AbortError" || (error.status && error.status !== 429)) throw error;
        if (++lost > PATIENCE) throw error;
      }
      await pause(PAUSE_MS, signal);
    }
  }

  /** What is known of a picture that is under way; null where it has ended meanwhile. */
  async known(id, name) {
    try {
      return await (await this.#fetch(`v1/jobs/${id}/preview?known=${encodeURIComponent(name)}`)).blob();
    } catch (error) {
      if (error.status === 404 || error.status === 410) return null;
      throw error;
    }
  }

  /** A picture of a result. */
  async picture(href) {
    return (await this.#fetch(href.replace(/^\//, ""))).blob();
  }
}

/** Server-sent events of a stream of bytes (HTML, section 9.2), as far as this server writes them. */
export async function* parsed(body) {
  const decoder = new TextDecoder();
  let rest = "";
  const reader = body.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = eventOf(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventOf(block) {
  const found = {};
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name) found[name] = value;
  }
  return found.data === undefined ? null : { id: Number(found.id), name: found.event, data: JSON.parse(found.data) };
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
