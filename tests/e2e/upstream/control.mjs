// What a test tells the provider, as requests below /control: JSON in, JSON out. A 400 says what is wrong with the
// request. None of it counts as a request to the provider.

import { text } from "./provider.mjs";

const CONTROLS = {
  /** `{ alice: { groups: "admins", email: null } }` */
  "POST /control/claims": (upstream, users) => upstream.setClaims(users),
  /** `{ client_id, redirect_uris, ... }` */
  "POST /control/client": (upstream, client) => upstream.changeClient(client),
  /** `{ alg, keep_old, kid }`, all of them optional */
  "POST /control/rotate": (upstream, how) => upstream.rotate(how),
  "POST /control/unpublish": (upstream) => upstream.unpublishOld(),
  /** See tokens.mjs; `{}` is the truth. */
  "POST /control/lie": (upstream, lie) => upstream.lies.tell(lie),
  /** `{ token: 3000 }` */
  "POST /control/slow": (upstream, delays) => upstream.faults.slow(delays),
  /** `{ paths: ["jwks"], status: 503 }`, or "close" for the status */
  "POST /control/down": (upstream, what) => upstream.faults.down(what),
  /** `{ path: "jwks", to: "http://...", status: 302 }` */
  "POST /control/redirect": (upstream, what) => upstream.faults.redirect(what),
  /** `{ keys: 5000 }` */
  "POST /control/huge_jwks": (upstream, { keys }) => upstream.faults.fill(keys),
  /** `{ document }`, `{ text }` or `{ pointer }`, and `headers` */
  "POST /control/jwks": (upstream, what) => void (upstream.faults.jwks = what),
  /** `{ issuer: "https://other.example" }` */
  "POST /control/metadata": (upstream, changes) => void (upstream.faults.metadata = changes),
  /** `{ claims, header, alg }` */
  "POST /control/token": (upstream, what) => ({ token: upstream.sign(what) }),
  /** `{ claims, header, alg, typ }` */
  "POST /control/logout_token": (upstream, { typ = "logout+jwt", ...what }) => ({ token: upstream.sign({ typ, ...what }) }),
  /** `{ user: "alice" }` */
  "POST /control/backchannel": (upstream, { user }) => upstream.logOut(user),
  "POST /control/reset": (upstream) => upstream.reset(),
  "GET /control/counts": (upstream) => upstream.faults.counts(),
  "GET /control/keys": (upstream) => ({ keys: upstream.publishedKeys() }),
};

/** Whether a request is for here. */
export function isControl({ url }) {
  return url.startsWith("/control/");
}

export async function control(upstream, request, response) {
  const run = CONTROLS[`${request.method} ${request.url}`];
  if (!run) return answer(response, 404, { error: `no ${request.method} ${request.url}` });
  try {
    const body = await text(request);
    answer(response, 200, (await run(upstream, body ? JSON.parse(body) : {})) ?? {});
  } catch (error) {
    answer(response, 400, { error: error.message, description: error.error_description });
  }
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
