// What every group of flows shares. A script here is run as
//
//   node tests/e2e/clients/GROUP.mjs FLOW '{"service": "http://127.0.0.1:8787", ...}'
//
// by tests/e2e/tests/e2e/stock_client.rs. It drives npm `openid-client` as its documentation shows
// it, with every check of the library on, and prints what the client saw as one line of JSON. What it should have
// seen is for the Rust test to say. A refusal that the flow is about is part of that JSON; anything
// else ends the script with status 1.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Browser } from "./browser.mjs";

export { Browser };

const { resolve } = createRequire(new URL("../../../dev/package.json", import.meta.url));

/** npm `openid-client`, installed in dev/. */
export const oidc = await import(pathToFileURL(resolve("openid-client")));

/** npm `jose`, with which a resource server would verify our tokens. */
export const jose = await import(pathToFileURL(resolve("jose")));

/** Served by nobody: the script is the application. */
export const REDIRECT_URI = "http://127.0.0.1:53682/callback";

/** Runs the flow named on the command line and prints what it gives back. */
export async function main(flows) {
  const [name, input] = process.argv.slice(2);
  const flow = flows[name];
  if (!flow) throw new Error(`there is no flow "${name}", only ${Object.keys(flows).join(", ")}`);
  const seen = await flow(JSON.parse(input));
  process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)); // whatever is still open
}

/**
 * The client's configuration, from discovery. ID tokens are verified by signature, too, though they come over a
 * connection that would be TLS.
 */
export async function discover({ service, clientId = "demo-app", metadata, authentication, algorithm = "oidc" }) {
  return oidc.discovery(new URL(service), clientId, metadata, authentication ?? oidc.None(), {
    algorithm,
    execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks],
  });
}

/** An authorization request for `openid profile` with PKCE, and what the client remembers of it. */
export async function request(config, parameters = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const checks = {
    pkceCodeVerifier,
    expectedState: oidc.randomState(),
    expectedNonce: oidc.randomNonce(),
    idTokenExpected: true,
  };
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope: "openid profile",
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...parameters,
  });
  return { url, checks };
}

/** The address that `user`'s browser comes back with; a request that was pushed is for REDIRECT_URI. */
export function authorize(url, user, { browser = new Browser(), answer } = {}) {
  const app = url.searchParams.get("redirect_uri") ?? REDIRECT_URI;
  return browser.open(url, { user, app, answer });
}

/** The whole log-in, from a new browser to tokens. */
export async function logIn(config, user, parameters) {
  const { url, checks } = await request(config, parameters);
  return oidc.authorizationCodeGrant(config, await authorize(url, user), checks);
}

/** The claims of an access token, once verified as a stock resource server does it (RFC 9068 section 4). */
export async function verified(config, token, audience) {
  const { issuer, jwks_uri } = config.serverMetadata();
  const keys = jose.createRemoteJWKSet(new URL(jwks_uri));
  const { payload } = await jose.jwtVerify(token, keys, { issuer, audience, typ: "at+jwt", algorithms: ["ES256"] });
  return payload;
}

/** The operator's part: a request to the service's own API. */
export async function operator(service, method, path, body) {
  const headers = { authorization: "Bearer dev-admin", "content-type": "application/json" };
  const response = await fetch(service + path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Serves on a port of its own until the script ends; `handle(request, body)` gives back what to answer. */
export async function serve(handle) {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = handle(request, Buffer.concat(chunks).toString("utf8"));
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(answer ? JSON.stringify(answer) : "");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

/** What the library says of a request that must be refused; throws if it is not. */
export async function refusal(promise) {
  let granted;
  try {
    granted = await promise;
  } catch (error) {
    if (error.page) return { page: error.page };
    const { name, code, error: said, status } = error;
    return { name, code, error: said, status };
  }
  throw new Error(`expected a refusal, got ${JSON.stringify(granted)}`);
}
