// An identity provider that speaks SAML 2.0, and that a test can turn against the service over /control. Its signatures are
// npm `xml-crypto`'s, not the service's own. tests/e2e/src/saml.rs starts it as
//
//   node tests/e2e/upstream/saml.mjs --port 20000 --entity-id URN --service ENTITY_ID --acs URL
//
// It takes requests at http://127.0.0.1:PORT/sso by HTTP-Redirect, from that service and for that address only, as a real
// one that was configured with them. It prints `ready` when it listens, and ends when its parent does. Any name is a user
// whose password it is; nobody has a session here.

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { inflateRawSync } from "node:zlib";
import { loginPage } from "../../../dev/idp-pages.mjs";
import { text } from "./provider.mjs";
import { makeKey } from "./saml_key.mjs";
import { respond } from "./saml_response.mjs";
import { serverOf } from "./upstream.mjs";

const HOST = "127.0.0.1";
const HTML = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };
const NO_PASSIVE = "urn:oasis:names:tc:SAML:2.0:status:NoPassive";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    "entity-id": { type: "string" },
    service: { type: "string" },
    acs: { type: "string" },
  },
});

const parent = process.ppid;
setInterval(() => process.ppid !== parent && process.exit(0), 500).unref();

/** What there is to be told. */
const state = { key: makeKey(), foreign: makeKey(), lie: {}, attributes: {}, requests: [] };
/** Requests whose people are at the form, by a number of ours. */
const pending = new Map();

const CONTROLS = {
  /** `{ alice: { groups: ["a", "b"], mail: null } }`: besides the usual or instead; null takes one away. */
  "POST /control/attributes": (users) => void Object.assign(state.attributes, users),
  /** See saml_response.mjs; `{}` is the truth. */
  "POST /control/lie": (lie) => void (state.lie = lie),
  /** A new key from now on. */
  "POST /control/rotate": () => {
    state.key = makeKey();
    return { certificate: state.key.certificate };
  },
  "GET /control/certificate": () => ({ certificate: state.key.certificate }),
  /** What was asked, oldest first. */
  "GET /control/requests": () => ({ requests: state.requests }),
};

/** The request in a URL, as far as it concerns anybody here. */
function read(url) {
  const deflated = Buffer.from(url.searchParams.get("SAMLRequest") ?? "", "base64");
  const xml = inflateRawSync(deflated).toString("utf8");
  const attribute = (name) => xml.match(new RegExp(` ${name}="([^"]*)"`))?.[1].replaceAll("&amp;", "&");
  const issuer = xml.match(/<saml:Issuer[^>]*>([^<]*)</)?.[1];
  if (issuer !== options.service) throw new TypeError(`the request is by ${issuer}`);
  if (attribute("AssertionConsumerServiceURL") !== options.acs) throw new TypeError("the answer is to go elsewhere");
  if (attribute("Destination") !== `http://${HOST}:${options.port}/sso`) throw new TypeError("sent elsewhere");
  return {
    id: attribute("ID"),
    relayState: url.searchParams.get("RelayState") ?? "",
    force_authn: attribute("ForceAuthn") === "true",
    is_passive: attribute("IsPassive") === "true",
    name_id_format: attribute("Format"),
  };
}

/** A page whose form goes to the service by itself where there are scripts. */
function answerPage(request, what) {
  const { key, foreign, lie, attributes } = state;
  const usual = { mail: [`${what.user}@example.com`], email_verified: ["true"], groups: ["staff"] };
  const xml = respond({
    idp: options["entity-id"],
    service: options.service,
    acs: options.acs,
    request,
    key: lie.key === "foreign" ? foreign : key,
    attributes: { ...usual, ...attributes[what.user] },
    lie,
    ...what,
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Back to the service</title></head>
<body onload="document.forms[0].submit()"><form method="post" action="${options.acs}">
<input type="hidden" name="SAMLResponse" value="${Buffer.from(xml).toString("base64")}">
<input type="hidden" name="RelayState" value="${request.relayState}">
<button>Continue</button></form></body></html>\n`;
}

async function serve(request, response) {
  const url = new URL(request.url, `http://${HOST}:${options.port}`);
  const page = (status, html) => response.writeHead(status, HTML).end(html);
  const control = CONTROLS[`${request.method} ${url.pathname}`];
  if (control) {
    const body = await text(request);
    const answer = control(body ? JSON.parse(body) : {}) ?? {};
    return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }
  if (request.method === "GET" && url.pathname === "/sso") {
    const asked = read(url);
    state.requests.push(asked);
    if (asked.is_passive) return page(200, answerPage(asked, { status: NO_PASSIVE }));
    const number = randomUUID();
    pending.set(number, asked);
    return page(200, loginPage({ action: `/login/${number}` }));
  }
  const asked = pending.get(url.pathname.replace("/login/", ""));
  if (request.method !== "POST" || !asked) return page(404, "<p>Nothing is here.</p>");
  const form = new URLSearchParams(await text(request));
  const user = form.get("login");
  if (!user || form.get("password") !== user) {
    return page(401, loginPage({ action: url.pathname, failure: "The password is the name." }));
  }
  return page(200, answerPage(asked, { user, status: state.lie.status }));
}

const server = serverOf(serve);
server.on("error", ({ code }) => {
  console.error(`error: port ${options.port} cannot be used: ${code}`);
  process.exit(1);
});
server.listen(Number(options.port), HOST, () => console.log("ready"));
