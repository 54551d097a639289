// The whole service on one machine, in one process and the runtime it starts: both Workers, the
// demo identity provider and the fake origin. `cargo xtask dev` builds and runs it; tests run it
// with a port and a state directory of their own. Prints `ready` alone on a line when all answer.
//
// Out of scope: building the Workers (xtask), and anything a deployment needs.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare } from "miniflare";
import workerd from "workerd";
import { workerOptions } from "./config.mjs";
import { idpServer } from "./idp.mjs";
import { parseOptions, ROOT, USAGE } from "./options.mjs";
import { originServer } from "./origin.mjs";
import { loadSecrets } from "./secrets.mjs";

const HOST = "127.0.0.1";
const CLIENT_ID = "portcullis";

/** Where a gateway answers: it would take `/healthz` for its origin's, and note who asked. */
const GATEWAY_HEALTH = "/.portcullis/healthz";

/** How many more people a measurement can log in. */
const CROWD = 16;

/** A mistake of the user's or a state of the machine, not of this program: told without a stack trace. */
class Refusal extends Error {}

async function main() {
  const options = readOptions();
  if (!options.detached) stopWithParent();

  const directory = resolve(options.persist);
  mkdirSync(directory, { recursive: true });
  claim(directory);
  const state = join(directory, "state");
  if (options.fresh) {
    rmSync(state, { recursive: true, force: true });
    rmSync(join(directory, "secrets.json"), { force: true });
  }
  const secrets = loadSecrets(directory);

  const ports = assignPorts(options);
  for (const [what, port] of Object.entries(ports)) await mustBeFree(what, port);
  const url = Object.fromEntries(Object.entries(ports).map(([what, port]) => [what, `http://${HOST}:${port}`]));

  // The identity provider and the origin first: the Workers may ask for them as soon as they run.
  const crowd = options.people ?? (options.bench ? CROWD : 0);
  const idp = idpServer({ issuer: url.idp, service: url.service, clientId: CLIENT_ID, secrets, crowd });
  await listen(idp, ports.idp);
  await listen(originServer(), ports.origin);
  const runtime = await startRuntime(workers({ options, url, ports, secrets }), state, options.crons);

  const healthOf = (what) => (what.startsWith("gateway") ? GATEWAY_HEALTH : "/healthz");
  await Promise.all(Object.entries(url).map(([what, where]) => answers(`${where}${healthOf(what)}`)));
  for (const [what, where] of Object.entries(url)) console.log(`${what.padEnd(8)} ${where}`);
  console.log("ready");
  return runtime;
}

function readOptions() {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (!options.help) return options;
  } catch (error) {
    throw new Refusal(`${error.message}\n\n${USAGE}`);
  }
  console.log(USAGE);
  process.exit(0);
}

function assignPorts({ port, bench, chaos, gateways }) {
  const ports = { service: port, gateway: port + 1, idp: port + 2, origin: port + 3 };
  if (bench) Object.assign(ports, { floor: port + 4, wasm: port + 5, peer: port + 6, packs: port + 7 });
  if (chaos) ports.chaos = port + 7;
  for (let number = 2; number <= gateways; number += 1) ports[`gateway-${number}`] = port + 6 + number;
  return ports;
}

/** Every Worker of the stack, each answering on its own port with nothing in front of it. */
function workers({ options, url, ports, secrets }) {
  const service = {
    MODE: "dev",
    ISSUER: url.service,
    NAMING_KEY: secrets.namingKey,
    SERVICE_KEY: secrets.serviceKey,
    CONNECTION_ID: "demo",
    OIDC_ISSUER: url.idp,
    OIDC_CLIENT_ID: CLIENT_ID,
    OIDC_SUBJECT_CLAIM: "sub",
    OIDC_CLIENT_SECRET: secrets.oidcClientSecret,
    DEFAULT_AUDIENCE: url.gateway,
    ...options.vars,
  };
  const gateway = {
    MODE: "dev",
    ISSUER: url.service,
    AUDIENCE: url.gateway,
    ORIGIN: url.origin,
    CLIENT_ID: "demo-gateway",
    ASSERTION_KEY: secrets.assertionKey,
    ...options.gatewayVars,
  };
  const bound = gatewayOptions(gateway, options);
  const [first, ...more] = instances(options.chaos ? through("chaos", bound) : bound, options.gateways);
  const list = [
    on(ports.service, limited(workerOptions(ROOT, "wrangler.toml", service), options.limit)),
    on(ports.gateway, first),
    ...more.map((worker, index) => on(ports[`gateway-${index + 2}`], worker)),
  ];
  if (options.chaos) list.push(on(ports.chaos, chaos(list[0], bound.serviceBindings.CHECKS, options.chaos)));
  if (options.bench) {
    const { compatibilityDate } = list[0];
    list.push(
      on(ports.floor, floor(compatibilityDate)),
      on(ports.wasm, parts(compatibilityDate)),
      on(ports.peer, peer(compatibilityDate, url.peer)),
      on(ports.packs, packs(compatibilityDate, bound)),
    );
  }
  return list;
}

/**
 * The gateway, doing what a file says. In a deployment that is the file beside its main module. With a queue that
 * fails, if one is wanted.
 */
function gatewayOptions(vars, { gatewayFile: file, queueFault: fault }) {
  const { scriptPath, modulesRules: _, ...worker } = workerOptions(ROOT, "crates/gateway/wrangler.toml", vars);
  const directory = dirname(scriptPath);
  if (!existsSync(file)) throw new Refusal(`${file} is missing: --gateway-file names the gateway's file`);
  const built = join(directory, "build/index.js");
  if (!existsSync(built)) throw new Refusal(`${built} is missing: run \`cargo xtask build\``);
  const modules = [
    { type: "ESModule", path: scriptPath },
    { type: "ESModule", path: built },
    { type: "CompiledWasm", path: join(directory, "build/index_bg.wasm") },
    { type: "Text", path: join(directory, "gateway.toml"), contents: readFileSync(file, "utf8") },
  ];
  if (fault === undefined) return { ...worker, modules };
  const faulty = { type: "ESModule", path: join(ROOT, "dev/faulty-queue.mjs") };
  return { ...worker, modules: [faulty, ...modules], bindings: { ...worker.bindings, QUEUE_FAULT: fault } };
}

/** The Worker with every rate limit at `limit`; without any if that is 0. */
function limited(worker, limit) {
  if (limit === undefined) return worker;
  const { ratelimits, ...rest } = worker;
  if (limit === 0) return rest;
  const each = ([name, { namespace_id, simple }]) => [name, { namespace_id, simple: { ...simple, limit } }];
  return { ...rest, ratelimits: Object.fromEntries(Object.entries(ratelimits).map(each)) };
}

/** So many of a Worker, each of its own name: they share what they are bound to, and no memory. */
function instances(worker, count) {
  return Array.from({ length: count }, (_, index) => (index === 0 ? worker : { ...worker, name: `${worker.name}-${index + 1}` }));
}

/** The gateway with another Worker in the service's place. */
function through(name, gateway) {
  const { CHECKS, ...others } = gateway.serviceBindings;
  return { ...gateway, serviceBindings: { ...others, CHECKS: { ...CHECKS, name } } };
}

/** What fails between gateways and service as a test tells it to: see dev/chaos.mjs. */
function chaos({ compatibilityDate }, service, mode) {
  return {
    name: "chaos",
    compatibilityDate,
    modules: [{ type: "ESModule", path: join(ROOT, "dev/chaos.mjs") }],
    modulesRoot: ROOT,
    bindings: { FEED_MODE: mode },
    queueProducers: { AUDIT: "portcullis-audit", DEAD: "portcullis-audit-dead" },
    serviceBindings: { SERVICE: service },
  };
}

/** What a strict check is measured against: see bench/floor.mjs. */
function floor(compatibilityDate) {
  return {
    name: "floor",
    compatibilityDate,
    modules: true,
    scriptPath: join(ROOT, "bench/floor.mjs"),
    durableObjects: { FLOOR: { className: "Floor", useSQLite: true } },
  };
}

/** Parts of the Workers in wasm: see bench/wasm.mjs. */
function parts(compatibilityDate) {
  const built = join(ROOT, "bench/build/wasm.wasm");
  if (!existsSync(built)) throw new Refusal(`${built} is missing: \`cargo xtask bench\` builds it`);
  const modules = [
    { type: "ESModule", path: join(ROOT, "bench/wasm.mjs") },
    { type: "CompiledWasm", path: built },
  ];
  return { name: "parts", compatibilityDate, modules, modulesRoot: join(ROOT, "bench") };
}

/** A library that validates tokens of its own from KV: see bench/workers-oauth-provider.mjs. */
function peer(compatibilityDate, origin) {
  const library = "@cloudflare/workers-oauth-provider";
  const modules = [
    { type: "ESModule", path: join(ROOT, "bench/workers-oauth-provider.mjs") },
    // Under the name that it is imported by.
    { type: "ESModule", path: join(ROOT, "bench", library), contents: readFileSync(fileURLToPath(import.meta.resolve(library))) },
  ];
  return {
    name: "peer",
    compatibilityDate,
    compatibilityFlags: ["global_fetch_strictly_public"], // else it warns
    bindings: { ORIGIN: origin },
    kvNamespaces: { OAUTH_KV: "oauth" },
    modules,
    modulesRoot: join(ROOT, "bench"),
  };
}

/** Hands packs of events over as the gateway does, by what it is bound to: see bench/audit.mjs. */
function packs(compatibilityDate, { serviceBindings: { CHECKS }, queueProducers: { AUDIT_QUEUE } }) {
  return {
    name: "packs",
    compatibilityDate,
    modules: true,
    scriptPath: join(ROOT, "bench/audit.mjs"),
    serviceBindings: { CHECKS },
    queueProducers: { AUDIT_QUEUE },
  };
}

function on(port, worker) {
  const script = worker.scriptPath ?? worker.modules[0].path;
  if (!existsSync(script)) throw new Refusal(`${script} is missing: run \`cargo xtask build\``);
  return { ...worker, unsafeDirectSockets: [{ host: HOST, port }] };
}

async function startRuntime(list, state, crons) {
  // Miniflare reads its runtime's path from the environment: through a script that ties its life to ours.
  process.env.PORTCULLIS_WORKERD = process.env.MINIFLARE_WORKERD_PATH ?? workerd.default;
  process.env.MINIFLARE_WORKERD_PATH = join(ROOT, "dev/workerd.sh");
  const runtime = new Miniflare({
    workers: list,
    host: HOST,
    // Miniflare's own entry, with its proxy in front of the first Worker. Used to fire cron triggers only.
    port: crons,
    unsafeTriggerHandlers: crons !== 0,
    defaultPersistRoot: state,
    cf: false, // else it would fetch a sample from the network
    telemetry: { enabled: false },
    log: new Log(LogLevel.WARN),
  });
  stopOnSignals(runtime);
  try {
    await runtime.ready;
  } catch (error) {
    // The runtime has said on stderr what is wrong with a Worker or its configuration.
    throw error.code === "ERR_RUNTIME_FAILURE" ? new Refusal("the Workers do not start; the reason stands above") : error;
  }
  return runtime;
}

/** Two runtimes over the same files would each believe to be alone: refuse the second. */
function claim(directory) {
  const file = join(directory, "pid");
  const pid = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  if (pid && pid !== process.pid && runsStack(pid)) {
    throw new Refusal(`${directory} is in use by process ${pid}: stop it, or give another --persist DIR`);
  }
  writeFileSync(file, `${process.pid}\n`);
}

function runsStack(pid) {
  try {
    process.kill(pid, 0);
    const command = `/proc/${pid}/cmdline`;
    return !existsSync("/proc/self") || readFileSync(command, "utf8").includes("stack.mjs");
  } catch {
    return false;
  }
}

function mustBeFree(what, port) {
  return new Promise((free, refuse) => {
    const probe = createServer();
    probe.once("error", ({ code }) =>
      refuse(new Refusal(`port ${port} (${what}) cannot be used: ${code}. Stop what holds it, or give another --port N`)),
    );
    probe.listen(port, HOST, () => probe.close(free));
  });
}

function listen(server, port) {
  return new Promise((listening, failed) => {
    server.once("error", failed);
    server.listen(port, HOST, listening);
  });
}

/** Resolves as soon as `url` gives any HTTP answer at all. */
async function answers(url) {
  for (;;) {
    try {
      const response = await fetch(url, { redirect: "manual" });
      await response.arrayBuffer();
      return;
    } catch {
      await new Promise((again) => setTimeout(again, 50));
    }
  }
}

function stopOnSignals(runtime) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.removeAllListeners(signal); // Miniflare's own would leave with an error's exit code
    process.once(signal, async () => {
      await runtime.dispose().catch(() => {});
      process.exit(0);
    });
  }
}

/** A test that is killed must not leave a stack behind. */
function stopWithParent() {
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && process.kill(process.pid, "SIGTERM"), 500).unref();
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Refusal ? `error: ${error.message}` : error);
  process.exit(1);
}
