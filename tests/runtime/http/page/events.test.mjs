// Server-sent events as bytes come: cut anywhere. Run by test_page_geometry.py.

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.sessionStorage = { getItem: () => null };
const { parsed } = await import("./api.js");

const TEXT =
  'retry: 1000\n\n: \n\nid: 1\nevent: state\ndata: {"state":"waiting"}\n\nid: 2\nevent: step\ndata: {"stage":"h\u00e4nde","step":3}\n\n';
const EVENTS = [
  { id: 1, name: "state", data: { state: "waiting" } },
  { id: 2, name: "step", data: { stage: "h\u00e4nde", step: 3 } },
];

test("whatever the pieces, the events are the same", async () => {
  const bytes = new TextEncoder().encode(TEXT);
  for (const size of [1, 2, 3, 7, 31, bytes.length]) {
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < bytes.length; i += size) controller.enqueue(bytes.slice(i, i + size));
        controller.close();
      },
    });
    const found = [];
    for await (const event of parsed(body)) found.push(event);
    assert.deepEqual(found, EVENTS, `pieces of ${size}`);
  }
});
