// The command line of dev/stack.mjs.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The checkout. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

export const USAGE = `Runs the service, the demo gateway, the demo identity provider and the fake origin.

  node dev/stack.mjs [options]

  --port N             service on 127.0.0.1:N, gateway N+1, identity provider N+2, origin N+3 (8787)
  --persist DIR        where state is kept (.portcullis in the checkout)
  --fresh              start from empty state
  --limit N            every rate limit is N; 0: there is none
  --bench              also the Workers of bench/, on N+4 to N+7, and more people: person-0 to person-15
  --people N           so many more people, person-0 and on
  --gateways N         so many gateways, each an isolate of its own: the second on N+8, and on (1)
  --chaos MODE         a Worker between the gateways and the service, on N+7, that fails as it is told to, and the
                       feed in this way from the start: normal, or another of dev/chaos.mjs
  --var NAME=VALUE     set one of the service's variables; an empty value removes it
  --gateway-var NAME=VALUE
                       the same for the gateway
  --gateway-file FILE  what the gateway does (crates/gateway/gateway.toml)
  --gateway-queue FAULT
                       the gateway's queue fails: refuses, loses or nothing (dev/faulty-queue.mjs)
  --crons PORT         fire the service's cron triggers by GET http://127.0.0.1:PORT/cdn-cgi/handler/scheduled
  --detached           keep running when the process that started this one has gone
  --help
`;

const QUEUE_FAULTS = ["refuses", "loses", "nothing"];

/** @throws {TypeError} with a message for the user when the arguments make no sense */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string", default: "8787" },
      persist: { type: "string", default: join(ROOT, ".portcullis") },
      fresh: { type: "boolean", default: false },
      limit: { type: "string" },
      bench: { type: "boolean", default: false },
      people: { type: "string" },
      gateways: { type: "string", default: "1" },
      chaos: { type: "string" },
      var: { type: "string", multiple: true, default: [] },
      "gateway-var": { type: "string", multiple: true, default: [] },
      "gateway-file": { type: "string", default: join(ROOT, "crates/gateway/gateway.toml") },
      "gateway-queue": { type: "string" },
      crons: { type: "string", default: "0" },
      detached: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65530) throw new TypeError(`--port ${values.port} is not a port`);
  const crons = Number(values.crons);
  if (!Number.isInteger(crons) || crons < 0 || crons > 65535) throw new TypeError(`--crons ${values.crons} is not a port`);
  if (values.bench && values.chaos !== undefined) throw new TypeError("--bench and --chaos want the same port");
  const limit = values.limit === undefined ? undefined : Number(values.limit);
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) throw new TypeError(`--limit ${values.limit} is no number`);
  const people = values.people === undefined ? undefined : count(values.people, "--people");
  const gateways = count(values.gateways, "--gateways");
  if (gateways < 1) throw new TypeError("--gateways is at least 1");
  const fault = values["gateway-queue"];
  if (fault !== undefined && !QUEUE_FAULTS.includes(fault)) throw new TypeError(`--gateway-queue ${fault} is none of ${QUEUE_FAULTS.join(", ")}`);
  return {
    ...values,
    people,
    gateways,
    queueFault: fault,
    port,
    crons,
    limit,
    vars: assignments(values.var),
    gatewayVars: assignments(values["gateway-var"]),
    gatewayFile: values["gateway-file"],
  };
}

function count(text, name) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 10000) throw new TypeError(`${name} ${text} is no number up to 10000`);
  return number;
}

function assignments(list) {
  return Object.fromEntries(
    list.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new TypeError(`"${text}" is not NAME=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
