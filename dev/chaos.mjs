// Stands between the gateways and the service in a stack that was started with --chaos: a Worker with the
// methods of the service's `Checks`, and a port over which a test says how they behave. Until one does, every
// call goes through as it is.
//
//   PUT /feed {"mode", "ms"}   how `feed` behaves from now on
//   PUT /check {"mode", "ms"}  the same of `check` and `checkToken`
//   POST /keep                 keeps what the service says now to a reader that knows nothing, for `replay`
//   POST /queue, /queue/dead   puts a message with the body's bytes into that queue; with ?text, with its text
//   GET /                      {"feed", "check"}: each with its mode, and how many calls it has met since
//
// Modes of both: `normal`; `delay`, the answer comes `ms` later; `cut`, the call throws; `silent`, no answer
// comes. Of `feed` besides: `truncated-entries`, `truncated-statement`, `forged-entries`,
// `forged-statement`; `replay`, the kept answer is given whatever was asked; `repeat`, the first answer from now on is
// given again and again. What `--chaos MODE` says is the feed's mode at the start.

import { WorkerEntrypoint } from "cloudflare:workers";

/** Longer than anybody waits. The runtime notices a promise that nothing can settle any more. */
const FOREVER_MS = 600_000;

/** `Poll` of a reader that knows nothing (crates/core/src/feed/poll.rs). */
const KNOWS_NOTHING = new Uint8Array([1, 0]);

/** What is done to the answers of the service, by mode. */
const ANSWERS = {
  normal: (answer) => answer,
  delay: async (answer, ms) => {
    await sleep(ms);
    return answer;
  },
  "truncated-entries": eachPage((page) => ({ ...page, entries: page.entries.slice(0, -1) })),
  "truncated-statement": eachPage((page) => ({ ...page, statement: page.statement.slice(0, -1) })),
  "forged-entries": eachPage((page) => ({ ...page, entries: bent(page.entries) })),
  "forged-statement": eachPage((page) => ({ ...page, statement: otherLetter(page.statement) })),
};

/** Modes that ask the service nothing. */
const INSTEAD = {
  cut: () => {
    throw new Error("cut, for a test");
  },
  silent: () => sleep(FOREVER_MS),
  replay: () => {
    if (!kept) throw new Error("nothing was kept");
    return kept;
  },
  repeat: async (behaves, ask) => (behaves.first ??= new Uint8Array(await ask())),
};

/** How each behaves. A Worker here is one isolate, so what a test says holds for every gateway. */
const behaviour = { feed: undefined, check: { mode: "normal", ms: 0, calls: 0 } };
let kept;

function feedOf({ FEED_MODE }) {
  return (behaviour.feed ??= { mode: FEED_MODE, ms: 0, calls: 0 });
}

/** What the gateways are bound to. */
export class Checks extends WorkerEntrypoint {
  check(request) {
    return carriedOut(behaviour.check, () => this.env.SERVICE.check(request));
  }

  checkToken(request) {
    return carriedOut(behaviour.check, () => this.env.SERVICE.checkToken(request));
  }

  feed(request) {
    return carriedOut(feedOf(this.env), () => this.env.SERVICE.feed(request));
  }

  record(pack) {
    return this.env.SERVICE.record(pack);
  }
}

async function carriedOut(behaves, ask) {
  behaves.calls += 1;
  const { mode, ms } = behaves;
  const instead = INSTEAD[mode];
  if (instead) return instead(behaves, ask);
  return ANSWERS[mode](new Uint8Array(await ask()), ms);
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method === "PUT" && (pathname === "/feed" || pathname === "/check")) {
      const { mode, ms = 0 } = await request.json();
      if (!(Object.hasOwn(ANSWERS, mode) || Object.hasOwn(INSTEAD, mode))) return new Response("unknown mode", { status: 400 });
      behaviour[pathname.slice(1)] = { mode, ms, calls: 0 };
    } else if (request.method === "POST" && pathname === "/keep") {
      kept = new Uint8Array(await env.SERVICE.feed(KNOWS_NOTHING));
    } else if (request.method === "POST" && (pathname === "/queue" || pathname === "/queue/dead")) {
      const queue = pathname === "/queue" ? env.AUDIT : env.DEAD;
      if (searchParams.has("text")) await queue.send(await request.text(), { contentType: "text" });
      else await queue.send(new Uint8Array(await request.arrayBuffer()), { contentType: "v8" });
    } else if (pathname === "/healthz") {
      return new Response("ok");
    } else if (request.method !== "GET" || pathname !== "/") {
      return new Response("not found", { status: 404 });
    }
    const told = ({ mode, ms, calls }) => ({ mode, ms, calls });
    return Response.json({ feed: told(feedOf(env)), check: told(behaviour.check) });
  },
};

/** `Polled` with every page changed. Postcard: a version, then pages of (statement, entries, age). */
function eachPage(change) {
  return (answer) => {
    const from = reader(answer);
    const version = from.byte();
    const pages = Array.from({ length: from.number() }, () => ({
      statement: from.bytes(),
      entries: from.bytes(),
      age: from.number(),
    }));
    const written = pages.map(change).flatMap(({ statement, entries, age }) => [
      ...number(statement.length),
      ...statement,
      ...number(entries.length),
      ...entries,
      ...number(age),
    ]);
    return new Uint8Array([version, ...number(pages.length), ...written]);
  };
}

function reader(bytes) {
  let at = 0;
  const byte = () => bytes[at++];
  const number = () => {
    for (let value = 0, place = 1; ; place *= 128) {
      const next = byte();
      value += (next & 127) * place;
      if (next < 128) return value;
    }
  };
  const take = (length) => bytes.slice(at, (at += length));
  return { byte, number, bytes: () => take(number()) };
}

function number(value) {
  return value < 128 ? [value] : [(value % 128) + 128, ...number(Math.floor(value / 128))];
}

/** The bytes with the last bit the other way round. */
function bent(bytes) {
  const changed = bytes.slice();
  changed[changed.length - 1] ^= 1;
  return changed;
}

/** The statement with another letter in the middle of it, which is still one of base64url's. */
function otherLetter(statement) {
  const [A, B] = [65, 66];
  const changed = statement.slice();
  const middle = Math.floor(changed.length / 2);
  changed[middle] = changed[middle] === A ? B : A;
  return changed;
}

function sleep(ms) {
  return new Promise((over) => setTimeout(over, ms));
}
