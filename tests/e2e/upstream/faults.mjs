// How the endpoints misbehave: slow, gone, elsewhere; what the documents say that is not so. And how often each was asked.

import { randomBytes } from "node:crypto";

/** The endpoints by the names that tests use. */
export const ENDPOINTS = {
  metadata: "/.well-known/openid-configuration",
  jwks: "/jwks",
  token: "/token",
  authorization: "/auth",
  userinfo: "/me",
};

const NOTHING = { slow: {}, down: {}, redirect: {}, metadata: {}, jwks: {}, filler: [] };

export class Faults {
  #counts = Object.fromEntries([...Object.keys(ENDPOINTS), "other"].map((name) => [name, 0]));
  #set = structuredClone(NOTHING);

  /** Everything as it should be; requests stay counted. */
  clear() {
    this.#set = structuredClone(NOTHING);
  }

  counts() {
    return { ...this.#counts };
  }

  /** `{ path: ms }`, added to what was set before; 0 ends it. */
  slow(delays) {
    for (const [path, ms] of Object.entries(delays)) this.#set.slow[endpoint(path)] = ms;
  }

  /** These paths, and no others, answer with `status`; "close" hangs up instead. */
  down({ paths, status = 503 }) {
    this.#set.down = Object.fromEntries(paths.map((path) => [endpoint(path), status]));
  }

  /** The path answers with a redirect; without `to` no more. */
  redirect({ path, to, status = 302 }) {
    this.#set.redirect[endpoint(path)] = to && { to, status };
  }

  /** Members of the discovery document; null takes one away. */
  set metadata(changes) {
    this.#set.metadata = changes;
  }

  get metadata() {
    return this.#set.metadata;
  }

  /** So many keys of nobody's stand before the real ones in the key document. */
  fill(count) {
    const nobodys = (_, number) => ({
      kty: "RSA",
      use: "sig",
      alg: "RS256",
      kid: `nobodys-${number}`,
      e: "AQAB",
      n: randomBytes(256).fill(0xff, 0, 1).fill(0xff, 255).toString("base64url"),
    });
    this.#set.filler = Array.from({ length: count }, nobodys);
  }

  /**
   * The key document: `document` is any JSON, `text` any text; `pointer` says where the array of the real keys stands
   * instead of `/keys`; `headers` are added. An empty object is the usual document.
   */
  set jwks(what) {
    this.#set.jwks = what;
  }

  answerKeys(published, response) {
    const { document, text, pointer = "/keys", headers } = this.#set.jwks;
    const usual = () => nested(pointer, [...this.#set.filler, ...published]);
    const body = text ?? JSON.stringify(document === undefined ? usual() : document);
    response.writeHead(200, { "content-type": "application/jwk-set+json; charset=utf-8", ...headers }).end(body);
  }

  /** Counts the request, and answers it if something is wrong with its endpoint: true if so. */
  async meet(path, response) {
    const name = nameOf(path) ?? "other";
    this.#counts[name] += 1;
    const ms = this.#set.slow[name];
    if (ms) await new Promise((passed) => setTimeout(passed, ms));
    const down = this.#set.down[name];
    const redirect = this.#set.redirect[name];
    if (down === "close") response.socket?.destroy();
    else if (down) response.writeHead(down, { "content-type": "text/plain" }).end("out of order\n");
    else if (redirect) response.writeHead(redirect.status, { location: redirect.to }).end();
    return Boolean(down || redirect);
  }
}

/** `value` where the JSON Pointer (RFC 6901) says, in objects of its own. */
function nested(pointer, value) {
  const names = pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduceRight((inner, name) => ({ [name]: inner }), value);
}

function nameOf(path) {
  return Object.keys(ENDPOINTS).find((name) => ENDPOINTS[name] === path);
}

/** The name of an endpoint that is given by name or by path. */
function endpoint(text) {
  const name = text in ENDPOINTS ? text : nameOf(text);
  if (!name) throw new TypeError(`no endpoint "${text}", only ${Object.keys(ENDPOINTS).join(", ")}`);
  return name;
}
