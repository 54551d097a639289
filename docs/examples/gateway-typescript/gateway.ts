// A gateway in front of an origin, in TypeScript for plain Node (22.18 or later, which strips the types by itself) and
// without a dependency:
//
//   SERVICE=https://id.example GATEWAY_TOKEN=... RESOURCE=https://app.example ORIGIN=http://127.0.0.1:3000 \
//     PORT=8080 node gateway.ts
//
// It verifies nothing itself. Of every request it asks the service by `POST /v1/check` whether the token is good, is for
// this place, and has not been ended. Only an `active` lets the request through, without the token and with headers
// that say who is there. Whatever cannot be asked is answered 503: it fails closed.
//
// Out of scope: browsers' log-ins, tokens bound to a key (the check refuses them: here they could only be downgraded),
// events of requests that pass (the service records what it denies), upgrades to other protocols.

import { createServer, request as requestHttp } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { request as requestHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

type Settings = { service: string; gatewayToken: string; resource: string; origin: URL };

/** What is looked at of an answer of `POST /v1/check`. */
type Check = {
  verdict: "active" | "denied";
  reason: string | null;
  subject?: string | null;
  roles?: string[];
  groups?: string[];
};

/** How long the service may take. */
const PATIENCE_MS = 2000;

/** What belongs to one connection (RFC 9110 section 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Credentials, which are for us and go no further; the host is the origin's. */
const OURS = new Set(["authorization", "dpop", "host"]);

async function handle(incoming: IncomingMessage, response: ServerResponse, settings: Settings): Promise<void> {
  // No other form of a target is for an origin behind us (RFC 9112 section 3.2).
  if (!incoming.url?.startsWith("/")) return refuse(response, 400, "The request's target is no path.");
  const token = bearer(incoming.headers.authorization);
  if (token === undefined) return refuse(response, 401, "An access token is required.", "Bearer");
  let check: Check;
  try {
    check = await ask(token, settings);
  } catch (error) {
    console.error(`the check failed: ${error}`);
    return refuse(response, 503, "Try again shortly.");
  }
  if (check.verdict !== "active") {
    return refuse(response, 401, "The access token is not valid.", 'Bearer error="invalid_token"');
  }
  forward(incoming, response, check, settings.origin);
}

/** The token of `Authorization: Bearer` (RFC 6750 section 2.1). */
function bearer(header: string | undefined): string | undefined {
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header ?? "")?.[1];
}

/** Asks the service; throws unless it answers, in time and with something that is an answer. */
async function ask(token: string, { service, gatewayToken, resource }: Settings): Promise<Check> {
  const answer = await fetch(`${service}/v1/check`, {
    method: "POST",
    headers: { authorization: `Bearer ${gatewayToken}`, "content-type": "application/json" },
    body: JSON.stringify({ token, resource }),
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  const check: unknown = await answer.json();
  const verdict = (check as Partial<Check> | null)?.verdict;
  if (verdict !== "active" && verdict !== "denied") throw new Error("an answer without a verdict");
  return check as Check;
}

/** Sends the request on and the answer back, bodies as they come. */
function forward(incoming: IncomingMessage, response: ServerResponse, check: Check, origin: URL): void {
  const request = origin.protocol === "https:" ? requestHttps : requestHttp;
  const outgoing = request({
    protocol: origin.protocol,
    hostname: origin.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: origin.port,
    method: incoming.method,
    // Never resolved against anything: `//elsewhere/` is a path of the origin's.
    path: incoming.url,
    headers: { ...passed(incoming.headers), ...identity(check), host: origin.host },
  });
  outgoing.on("response", (answer) => {
    const headers = passed(answer.headers);
    response.writeHead(answer.statusCode ?? 502, { ...headers, "cache-control": headers["cache-control"] ?? "no-store" });
    pipeline(answer, response, () => {});
  });
  outgoing.on("error", (error) => {
    console.error(`the origin did not answer: ${error}`);
    if (response.headersSent) response.destroy();
    else refuse(response, 502, "The origin did not answer.");
  });
  // Whoever hangs up wants no answer.
  response.on("close", () => response.writableFinished || outgoing.destroy());
  pipeline(incoming, outgoing, () => {});
}

/** The headers that may go on: nothing of this connection, no credential, and no identity but what we say. */
function passed(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => {
      // Some origins take `_` for `-`.
      const identity = name.replaceAll("_", "-").startsWith("portcullis-");
      return value !== undefined && !HOP_BY_HOP.has(name) && !OURS.has(name) && !named.has(name) && !identity;
    }),
  );
}

/** Who is there, as the service says. Lists are separated by commas, each entry percent-encoded. */
function identity({ subject, roles, groups }: Check): OutgoingHttpHeaders {
  const list = (entries: string[] | undefined) => entries?.map(encodeURIComponent).join(",");
  const headers = {
    "portcullis-subject": subject ?? undefined,
    "portcullis-roles": list(roles),
    "portcullis-groups": list(groups),
  };
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value));
}

/** A problem (RFC 9457), with a challenge if there is one. */
function refuse(response: ServerResponse, status: number, detail: string, challenge?: string): void {
  const headers: OutgoingHttpHeaders = { "content-type": "application/problem+json", "cache-control": "no-store" };
  if (challenge) headers["www-authenticate"] = challenge;
  if (status === 503) headers["retry-after"] = "1";
  // What is left of the request's body is not read.
  response.writeHead(status, { ...headers, connection: "close" });
  response.end(JSON.stringify({ type: "about:blank", status, detail }));
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) {
    console.error(`error: ${name} is not set`);
    process.exit(1);
  }
  return value;
}

const settings: Settings = {
  service: setting("SERVICE").replace(/\/$/, ""),
  gatewayToken: setting("GATEWAY_TOKEN"),
  resource: setting("RESOURCE"),
  origin: new URL(setting("ORIGIN")),
};

const server = createServer((incoming, response) => {
  handle(incoming, response, settings).catch((error) => {
    console.error(error);
    if (response.headersSent) response.destroy();
    else refuse(response, 503, "Try again shortly.");
  });
});
server.listen(Number(setting("PORT")), process.env.HOST ?? "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`listening on port ${port}`);
  console.log("ready");
});
