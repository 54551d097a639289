// The provider in front of which everything is bent: the library answers, and what it answers is changed on its way out.

import { createServer } from "node:http";
import { loginPage } from "../../../dev/idp-pages.mjs";
import { Faults, ENDPOINTS } from "./faults.mjs";
import { KeyRing } from "./keys.mjs";
import { interact, logOutEverywhere, makeProvider } from "./provider.mjs";
import { bent, decoded, Lies, patched } from "./tokens.mjs";

export class Upstream {
  #issuer;
  #registered;
  #state;
  #ring;
  #provider;

  faults = new Faults();
  lies = new Lies();

  /** @param {{ issuer: string, clients: object[], state: import("./state.mjs").State }} options */
  static async make({ issuer, clients, state }) {
    const upstream = new Upstream();
    upstream.#issuer = issuer;
    upstream.#registered = clients;
    upstream.#state = state;
    upstream.#ring = new KeyRing(state);
    await upstream.#remake();
    return upstream;
  }

  async #remake() {
    const clients = this.#clients();
    for (const { id_token_signed_response_alg: alg } of clients) this.#ring.current(alg);
    const { cookieKey } = this.#state;
    this.#provider = await makeProvider({ issuer: this.#issuer, clients, keys: this.#ring.all(), cookieKey });
  }

  /** The clients' metadata as it is now. */
  #clients() {
    return this.#registered.map((client) => ({
      id_token_signed_response_alg: "RS256",
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      ...client,
      ...this.#state.clients[client.client_id],
    }));
  }

  /** What the first client's tokens are signed with, and what is used where nobody says. */
  get #usualAlgorithm() {
    return this.#clients()[0].id_token_signed_response_alg;
  }

  /** Changes a client's metadata. */
  async changeClient({ client_id: id, ...changes }) {
    if (!this.#registered.some((client) => client.client_id === id)) throw new TypeError(`no client "${id}"`);
    const before = this.#state.clients[id];
    this.#state.clients[id] = { ...before, ...changes };
    try {
      await this.#remake();
    } catch (error) {
      this.#state.clients[id] = before;
      throw error;
    }
    this.#state.save();
    return this.#clients().find((client) => client.client_id === id);
  }

  /** A new key from now on, for every client; `alg` is the usual one unless it is given. */
  async rotate({ alg = this.#usualAlgorithm, keep_old: keepOld = true, kid }) {
    const jwk = this.#ring.make(alg, kid);
    if (!keepOld) this.#ring.publishOnly([jwk]);
    for (const { client_id: id } of this.#registered) {
      this.#state.clients[id] = { ...this.#state.clients[id], id_token_signed_response_alg: alg };
    }
    this.#state.save();
    await this.#remake();
    return { kid: jwk.kid, alg };
  }

  /** The keys that clients' tokens are signed with stay, and no others. */
  unpublishOld() {
    this.#ring.publishOnly(this.#clients().map((client) => this.#ring.current(client.id_token_signed_response_alg)));
  }

  publishedKeys() {
    return this.#ring.published();
  }

  /** Claims to say of users besides the usual, or instead; null takes one away. A user who is not named stays as told. */
  setClaims(users) {
    Object.assign(this.#state.claims, users);
    this.#state.save();
  }

  /** Everything as it should be, but the keys and clients as they are. */
  reset() {
    this.faults.clear();
    this.lies.tell({});
    this.#state.claims = {};
    this.#state.save();
  }

  /** A token with exactly these claims, signed with the key in use for `alg`. */
  sign({ claims, header = {}, alg = this.#usualAlgorithm, typ }) {
    const parameters = typ === undefined ? header : { typ, ...header };
    return bent({ header: {}, claims, jwk: this.#ring.current(alg), ring: this.#ring, lie: { header: parameters } });
  }

  logOut(user) {
    return logOutEverywhere(this.#provider, user);
  }

  /** Answers everything that is no control of the test's. */
  async serve(request, response) {
    const path = request.url.split("?")[0];
    if (await this.faults.meet(path, response)) return;
    if (path === ENDPOINTS.jwks) return this.faults.answerKeys(this.#ring.published(), response);
    if (path === ENDPOINTS.metadata) rewrite(response, (document) => patched(document, this.faults.metadata));
    if (path === ENDPOINTS.token) rewrite(response, (answer) => this.#changedTokens(answer));
    if (path.startsWith("/interaction/")) return this.#interact(request, response);
    await this.#provider.callback()(request, response);
  }

  async #interact(request, response) {
    try {
      await interact(this.#provider, request, response);
    } catch (error) {
      if (error.name !== "SessionNotFound") throw error;
      const page = loginPage({ failure: "This log-in has expired. Start again from the application." });
      response.writeHead(400, { "content-type": "text/html; charset=utf-8" }).end(page);
    }
  }

  /** The library's answer, with the ID token as the test wants it; untouched if nothing is to be changed. */
  #changedTokens(answer) {
    if (!answer.id_token) return answer;
    const claims = decoded(answer.id_token, 1);
    const said = this.#state.claims[claims.sub];
    const lie = this.lies.next();
    if (!said && Object.keys(lie).length === 0) return answer;
    if (lie.id_token !== undefined) return patched(answer, { id_token: lie.id_token });
    const header = decoded(answer.id_token, 0);
    const { client_secret: clientSecret } = this.#clients().find((client) => client.client_id === claims.aud);
    const jwk = this.#ring.current(header.alg);
    const id_token = bent({ header, claims: patched(claims, said), jwk, ring: this.#ring, lie, clientSecret });
    return { ...answer, id_token };
  }
}

/** Lets `change` have the JSON of a good answer before it is sent. The library ends an answer with all of its body. */
function rewrite(response, change) {
  const end = response.end.bind(response);
  response.end = (body, ...rest) => {
    if (response.statusCode !== 200 || !body) return end(body, ...rest);
    const changed = JSON.stringify(change(JSON.parse(body)));
    response.setHeader("content-length", Buffer.byteLength(changed));
    return end(changed);
  };
}

/** Listens on loopback; a failure is a 500 with its words, for the test to show. */
export function serverOf(handle) {
  return createServer((request, response) => {
    handle(request, response).catch((error) => {
      console.error("upstream:", error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end(`${error.stack}\n`);
    });
  });
}
