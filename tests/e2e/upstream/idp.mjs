// An identity provider that a test can turn against the service: npm `oidc-provider`, which is certified, with its answers
// bent on their way out as the test says over /control. tests/e2e/src/upstream.rs starts it as
//
//   node tests/e2e/upstream/idp.mjs --port 20000 --state FILE --clients '[{"client_id": "...", ...}]'
//
// It is the issuer http://127.0.0.1:PORT, prints `ready` when it listens, and ends when its parent does. Clients are
// described in the terms of OpenID Connect Dynamic Client Registration. Any name is a user whose password it is.

import { parseArgs } from "node:util";
import { control, isControl } from "./control.mjs";
import { State } from "./state.mjs";
import { serverOf, Upstream } from "./upstream.mjs";

const HOST = "127.0.0.1";

const { values: options } = parseArgs({
  options: { port: { type: "string" }, state: { type: "string" }, clients: { type: "string" } },
});

const parent = process.ppid;
setInterval(() => process.ppid !== parent && process.exit(0), 500).unref();

const upstream = await Upstream.make({
  issuer: `http://${HOST}:${options.port}`,
  clients: JSON.parse(options.clients),
  state: new State(options.state),
});
const server = serverOf((request, response) =>
  isControl(request) ? control(upstream, request, response) : upstream.serve(request, response),
);
server.on("error", ({ code }) => {
  console.error(`error: port ${options.port} cannot be used: ${code}`);
  process.exit(1);
});
server.listen(Number(options.port), HOST, () => console.log("ready"));
