// Whether what was built starts: runs the stack on ports that are free, and asks the service and the gateway what needs their
// modules to be whole, a strict check among it. `cargo xtask build` runs it, for what wasm-opt wrote has been tried by nobody.
//
// Exit codes: 0 it does; 1 it does not, and standard error says why.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./options.mjs";

const HOST = "127.0.0.1";
/** The stack takes four ports in a row. */
const PORTS = 4;
/** How long it may take to start, on a machine with other things to do. */
const PATIENCE_MS = 90_000;

/** Somebody who was never seen: the service asks their object, and nobody has a session there. */
const NOBODY = { subject: "sub_AAAAAAAAAAAAAAAAAAAAAA", session: "ses_AAAAAAAAAAAAAAAAAAAAAA" };

const state = mkdtempSync(join(tmpdir(), "portcullis-starts-"));
const port = await freePorts();
const stack = spawn(process.execPath, [join(ROOT, "dev/stack.mjs"), "--port", String(port), "--persist", state], {
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  await ready();
  const service = `http://${HOST}:${port}`;
  await expect(`${service}/healthz`, {}, 200, "");
  await expect(`${service}/openapi.json`, {}, 200, `"url":"${service}"`);
  const check = {
    method: "POST",
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    body: JSON.stringify(NOBODY),
  };
  await expect(`${service}/v1/check`, check, 200, `"verdict":"denied"`);
  await expect(`http://${HOST}:${port + 1}/`, { redirect: "manual" }, 401, "");
} catch (error) {
  console.error(`error: what was built does not start: ${error.message}`);
  process.exitCode = 1;
} finally {
  stack.kill("SIGTERM");
  await new Promise((gone) => (stack.exitCode ?? stack.signalCode) === null ? stack.once("exit", gone) : gone());
  rmSync(state, { recursive: true, force: true });
}

/** Resolves when the stack says that all of it answers. */
function ready() {
  return new Promise((started, failed) => {
    let said = "";
    stack.stdout.on("data", (text) => /^ready$/m.test((said += text)) && started());
    stack.once("exit", (code) => failed(new Error(`the stack ended with code ${code}`)));
    setTimeout(() => failed(new Error(`not ready after ${PATIENCE_MS} ms`)), PATIENCE_MS).unref();
  });
}

async function expect(url, init, status, part) {
  const answer = await fetch(url, init);
  const body = await answer.text();
  if (answer.status !== status || !body.includes(part)) {
    throw new Error(`${url} answered ${answer.status}, not ${status} with ${part || "anything"}: ${body.slice(0, 500)}`);
  }
}

/** The first of some ports in a row that nobody holds. */
async function freePorts() {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all(Array.from({ length: PORTS }, (_, offset) => isFree(first + offset)));
    if (free.every(Boolean)) return first;
  }
}

function isFree(port) {
  return new Promise((say) => {
    const probe = createServer();
    probe.once("error", () => say(false));
    probe.listen(port, HOST, () => probe.close(() => say(true)));
  });
}
