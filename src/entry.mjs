// The service's main module: the Rust Worker, built into ../build by worker-build, and the
// entrypoint that gateways bind to.

import { WorkerEntrypoint } from "cloudflare:workers";

export * from "../build/index.js";
export { default } from "../build/index.js";

/** What a gateway's CHECKS binding reaches: checks, and nothing else. */
export class Checks extends WorkerEntrypoint {
  fetch() {
    return new Response("not implemented", { status: 501 });
  }
}
