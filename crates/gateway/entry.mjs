// The gateway's main module: the Rust Worker, built into build/ by worker-build, and the file that says
// what it does. The Worker looks for the file's text where it is put here (src/worker/deployed.rs).

import file from "./gateway.toml";
import Gateway from "./build/index.js";

export * from "./build/index.js";
export default Gateway;

globalThis.portcullisGatewayFile = file;
