// The service's main module: the Rust Worker, built into ../build by worker-build, with what only a
// module can add to it: the base class that makes an object's methods callable, and the entrypoint that
// gateways bind to.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import Service, * as built from "../build/index.js";

const shortCheck = new built.ShortCheck();

export default {
  fetch(request, env, context) {
    if (shortCheck.admits(request, env)) return check(request, env, context);
    return new Service(context, env).fetch(request);
  },
  queue(batch, env, context) {
    return new Service(context, env).queue(batch);
  },
  scheduled(event, env, context) {
    return new Service(context, env).scheduled(event);
  },
};

/** A strict check by the short way, as far as that goes: src/http/short_check.rs decides, here is only waited. */
async function check(request, env, context) {
  const body = new Uint8Array(await request.arrayBuffer());
  const asked = shortCheck.ask(body, env);
  if (asked !== undefined) {
    let reply;
    try {
      reply = await asked;
    } catch (error) {
      return shortCheck.failed(error);
    }
    const answer = shortCheck.answer(body, reply);
    if (answer !== undefined) return answer;
  }
  return new Service(context, env).fetchRead(request, body, env, context);
}

/** `Built`, a class of the Rust Worker, as an object that is called by method: src/objects/call.rs. */
function callable(Built) {
  return class extends DurableObject {
    #object;

    constructor(state, env) {
      super(state, env);
      // Through the built class, as below.
      this.#object = new Built(state, env);
    }

    /** Postcard in, postcard out; a throw is a failure of transport or storage. */
    call(message) {
      return this.#object.call(message);
    }

    alarm() {
      return this.#object.alarm();
    }
  };
}

export const Directory = callable(built.Directory);
export const Exports = callable(built.Exports);
export const Feed = callable(built.Feed);
export const Flow = callable(built.Flow);
export const Keyring = callable(built.Keyring);
export const Lane = callable(built.Lane);
export const Policy = callable(built.Policy);
export const Subject = callable(built.Subject);

/** What a gateway's CHECKS binding reaches: checks, and its own events. No power to mint, kill or read. */
export class Checks extends WorkerEntrypoint {
  /** A strict check: postcard in, postcard out (crates/core/src/session/check.rs). */
  check(request) {
    // Through the built class, which starts the module anew after a panic.
    return new Service(this.ctx, this.env).check(request, this.env);
  }

  /** The same for an identity provider's token (crates/core/src/session/foreign.rs). */
  checkToken(request) {
    return new Service(this.ctx, this.env).checkToken(request, this.env);
  }

  /** Pages of the feed (crates/core/src/feed/poll.rs). */
  feed(request) {
    return new Service(this.ctx, this.env).feed(request, this.env);
  }

  /** A pack of events that the queue did not take (crates/core/src/audit/pack.rs): done when it is in the log. */
  record(pack) {
    return new Service(this.ctx, this.env).record(pack, this.env);
  }
}
