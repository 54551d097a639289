// The library as this provider runs it: any name is a user, the password is the name, and whoever logs in has consented.
// It is made anew whenever keys or clients change; sessions and codes live on in the library's memory.

import { errorPage, loggedOutPage, loginPage, logoutPage } from "../../../dev/idp-pages.mjs";
import { ALGORITHMS } from "./keys.mjs";
import { installed } from "./package.mjs";

const { default: Provider, interactionPolicy } = await installed("oidc-provider");
const { default: MemoryAdapter } = await installed("oidc-provider/lib/adapters/memory_adapter.js");

const HTML = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };

/** Sessions that people have, by user. */
const sessions = new Map();

class Memory extends MemoryAdapter {
  async upsert(id, payload, expiresIn) {
    const { accountId, uid } = payload;
    if (this.model === "Session" && accountId) {
      sessions.set(accountId, (sessions.get(accountId) ?? new Set()).add(uid));
    }
    return super.upsert(id, payload, expiresIn);
  }
}

/** @param {{ issuer: string, clients: object[], keys: object[], cookieKey: string }} options */
export async function makeProvider({ issuer, clients, keys, cookieKey }) {
  const provider = new Provider(issuer, {
    adapter: Memory,
    clients,
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    pkce: { required: () => true },
    responseTypes: ["code"],
    scopes: ["openid", "offline_access"],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username", "groups"],
      email: ["email", "email_verified"],
    },
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => account(id),
    loadExistingGrant,
    interactions: { policy: policy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: logoutPage, postLogoutSuccessSource: loggedOutPage },
    },
    // The library's own refuses loopback, where everybody is here.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    renderError: errorPage,
    clientBasedCORS: () => false,
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Interaction: 3600, Session: 86400, Grant: 86400 },
  });
  provider.on("server_error", (_ctx, error) => console.error("upstream:", error));
  // Metadata that is wrong is refused now and not at somebody's log-in.
  for (const { client_id: id } of clients) await provider.Client.find(id);
  return provider;
}

/** The library's, and `prompt=select_account`, which it leaves to others. */
function policy() {
  const { base, Prompt } = interactionPolicy;
  const policy = base();
  policy.add(new Prompt({ name: "select_account", requestable: true }), 0);
  return policy;
}

function account(id) {
  return {
    accountId: id,
    claims: () => ({
      sub: id,
      name: id,
      preferred_username: id,
      email: `${id}@example.com`,
      email_verified: true,
      groups: ["staff"],
    }),
  };
}

async function loadExistingGrant(ctx) {
  const { provider, client, session, params, result } = ctx.oidc;
  const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope);
  await grant.save();
  return grant;
}

/** GET shows the form; POST checks what was typed and sends the browser back to the client. */
export async function interact(provider, request, response) {
  const { uid, params, prompt } = await provider.interactionDetails(request, response);
  const action = `/interaction/${uid}`;
  if (request.method !== "POST") {
    response.writeHead(200, HTML).end(loginPage({ action, login: params.login_hint ?? "" }));
    return;
  }
  const form = new URLSearchParams(await text(request));
  const login = form.get("login");
  if (!login || form.get("password") !== login) {
    response.writeHead(401, HTML).end(loginPage({ action, failure: "The password is the name." }));
    return;
  }
  await provider.interactionFinished(request, response, {
    login: { accountId: login, amr: ["pwd"] },
    ...(prompt.name === "select_account" && { select_account: {} }),
  });
}

/**
 * Ends every session of the user as the library does when its log-out page is confirmed: each client that takes part
 * gets a logout token of the library's own making. Gives back which answered well, and what the others said.
 */
export async function logOutEverywhere(provider, user) {
  const outcome = { delivered: [], failed: [] };
  for (const uid of sessions.get(user) ?? []) {
    const session = await provider.Session.findByUid(uid);
    for (const id of Object.keys(session?.authorizations ?? {})) {
      const client = await provider.Client.find(id);
      if (!client?.backchannelLogoutUri) continue;
      await client.backchannelLogout(user, session.sidFor(id)).then(
        () => outcome.delivered.push(id),
        (error) => outcome.failed.push({ client_id: id, error: error.message }),
      );
    }
    await session?.destroy();
  }
  sessions.delete(user);
  return outcome;
}

export async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
