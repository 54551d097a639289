// The service's main module: the Rust Worker, built into ../build by worker-build, and the
// entrypoint that gateways bind to.

import { WorkerEntrypoint } from "cloudflare:workers";
import Service from "../build/index.js";

export * from "../build/index.js";
export default Service;

/** What a gateway's CHECKS binding reaches: checks, and its own events. No power to mint, kill or read. */
export class Checks extends WorkerEntrypoint {
  /** A strict check: postcard in, postcard out (crates/core/src/session/check.rs). */
  check(request) {
    // Through the service's own class, which starts the module anew after a panic.
    return new Service(this.ctx, this.env).check(request, this.env);
  }

  /** The same for an identity provider's token (crates/core/src/session/foreign.rs). */
  checkToken(request) {
    return new Service(this.ctx, this.env).checkToken(request, this.env);
  }

  /** A pack of events that the queue did not take (crates/core/src/audit/pack.rs): done when it is in the log. */
  record(pack) {
    return new Service(this.ctx, this.env).record(pack, this.env);
  }
}
