// The gateway with a queue that fails, for tests: `dev/stack.mjs --gateway-queue FAULT` runs this in its place.
//
// `refuses`: the queue takes nothing. `loses`: it takes what it is sent, and the answer is lost. `nothing`: it takes
// nothing, and neither does the service.

import { WorkerEntrypoint } from "cloudflare:workers";
import Gateway from "../crates/gateway/entry.mjs";

/** Named as the runtime names a queue: the gateway looks. */
class WorkerQueue {
  #queue;

  constructor(queue) {
    this.#queue = queue;
  }

  async send(message, options) {
    await this.#queue?.send(message, options);
    throw new Error("the queue is broken, for a test");
  }
}

/** The checks without the rest of what the service offers to gateways. */
class Fetcher {
  constructor(checks) {
    this.check = (request) => checks.check(request);
    this.checkToken = (request) => checks.checkToken(request);
  }

  async record() {
    throw new Error("the service takes no events, for a test");
  }
}

const FAULTS = {
  refuses: () => ({ AUDIT_QUEUE: new WorkerQueue() }),
  loses: ({ AUDIT_QUEUE }) => ({ AUDIT_QUEUE: new WorkerQueue(AUDIT_QUEUE) }),
  nothing: ({ CHECKS }) => ({ AUDIT_QUEUE: new WorkerQueue(), CHECKS: new Fetcher(CHECKS) }),
};

export default class extends WorkerEntrypoint {
  fetch(request) {
    const env = { ...this.env, ...FAULTS[this.env.QUEUE_FAULT](this.env) };
    return new Gateway(this.ctx, env).fetch(request);
  }
}
