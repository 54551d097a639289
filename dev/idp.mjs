// The demo identity provider: a certified OpenID Connect provider (npm `oidc-provider`) with three
// users and one client, so that logging in locally is the real protocol and not a mock of it.
// Sessions live in memory and end with the process; the signing key is kept, so that tokens and
// cached key sets survive a restart.

import Provider, { interactionPolicy } from "oidc-provider";
import MemoryAdapter from "oidc-provider/lib/adapters/memory_adapter.js";
import { createServer } from "node:http";
import { errorPage, loginPage, logoutPage, loggedOutPage } from "./idp-pages.mjs";

/** The library's own store in memory, under a name of ours: it warns about the bare one. */
class Memory extends MemoryAdapter {}

/** Everyone's password is their name. Groups are what a connection maps to roles. */
const USERS = new Map([
  ["alice", { name: "Alice Liddell", groups: ["staff", "admins"] }],
  ["bob", { name: "Bob Cratchit", groups: ["staff"] }],
  ["carol", { name: "Carol Kennicott", groups: ["staff", "auditors"] }],
]);

/** How somebody proved who they are (`acr`). The second factor is asked for only when a client asks (`acr_values`). */
const PASSWORD = "urn:demo:acr:password";
const TWO_FACTORS = "urn:demo:acr:two-factors";
/** Everyone's one-time code, always. */
const ONE_TIME_CODE = "000000";

/**
 * @param {{ issuer: string, service: string, clientId: string, secrets: object, crowd: number }} options
 *   `issuer` is this server's own URL, `service` that of the one client; so many more people, `person-0`
 *   and on, may log in
 */
export function idpServer({ issuer, service, clientId, secrets, crowd }) {
  for (let number = 0; number < crowd; number += 1) {
    USERS.set(`person-${number}`, { name: `Person ${number}`, groups: ["staff"] });
  }
  const provider = new Provider(issuer, {
    adapter: Memory,
    clients: [
      {
        client_id: clientId,
        client_secret: secrets.oidcClientSecret,
        token_endpoint_auth_method: "client_secret_basic",
        id_token_signed_response_alg: "RS256",
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        redirect_uris: [`${service}/callback`],
        post_logout_redirect_uris: [`${service}/`, `${service}/logged-out`],
      },
    ],
    jwks: { keys: [secrets.idpSigningKey] },
    cookies: { keys: [secrets.idpCookieKey] },
    acrValues: [PASSWORD, TWO_FACTORS],
    pkce: { required: () => true },
    responseTypes: ["code"],
    scopes: ["openid", "offline_access"],
    claims: {
      openid: ["sub"],
      profile: ["name", "preferred_username", "groups"],
      email: ["email", "email_verified"],
    },
    // As the large providers do: the claims asked for are in the ID token itself.
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => account(id),
    loadExistingGrant,
    interactions: { policy: policy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource: logoutPage, postLogoutSuccessSource: loggedOutPage },
    },
    renderError: errorPage,
    clientBasedCORS: () => false,
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Interaction: 3600, Session: 86400, Grant: 86400 },
  });
  provider.on("server_error", (_ctx, error) => console.error("idp:", error));

  const protocol = provider.callback();
  return createServer((request, response) => {
    if (!request.url.startsWith("/interaction/")) return protocol(request, response);
    interact(provider, request, response).catch((error) => {
      // Expired or foreign interaction, most likely a form left open since the last restart.
      response.writeHead(400, HTML).end(loginPage({ failure: "This log-in has expired. Start again from the application." }));
      if (error.name !== "SessionNotFound") console.error("idp:", error);
    });
  });
}

/** The library's policy, and two things that it leaves to others: choosing an account, and stepping up. */
function policy() {
  const { base, Check, Prompt } = interactionPolicy;
  const policy = base();
  policy.add(new Prompt({ name: "select_account", requestable: true }), 0);
  policy.get("login").checks.add(
    new Check("acr_values", "a stronger proof is needed", ({ oidc }) => {
      const possible = possibleAcrs(oidc.params);
      return possible.length > 0 && !possible.includes(oidc.session.acr);
    }),
  );
  return policy;
}

/** What a client would be content with, of what there is: with none of that its wish is no command (Core 3.1.2.1). */
function possibleAcrs({ acr_values: wanted = "" }) {
  return wanted.split(" ").filter((acr) => [PASSWORD, TWO_FACTORS].includes(acr));
}

const HTML = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };

/** GET shows the form; POST checks what was typed and sends the browser back to the client. */
async function interact(provider, request, response) {
  const { uid, params, prompt } = await provider.interactionDetails(request, response);
  const action = `/interaction/${uid}`;
  const acr = possibleAcrs(params)[0] ?? PASSWORD;
  const twoFactors = acr === TWO_FACTORS;
  if (request.method !== "POST") {
    response.writeHead(200, HTML).end(loginPage({ action, twoFactors, login: params.login_hint ?? "" }));
    return;
  }
  const form = new URLSearchParams(await body(request));
  const login = form.get("login") ?? "";
  if (!USERS.has(login) || form.get("password") !== login) {
    response.writeHead(401, HTML).end(loginPage({ action, twoFactors, login, failure: "Unknown user or wrong password." }));
    return;
  }
  if (twoFactors && form.get("code") !== ONE_TIME_CODE) {
    response.writeHead(401, HTML).end(loginPage({ action, twoFactors, login, failure: "Wrong one-time code." }));
    return;
  }
  const amr = twoFactors ? ["pwd", "otp", "mfa"] : ["pwd"];
  await provider.interactionFinished(request, response, {
    login: { accountId: login, amr, acr },
    ...(prompt.name === "select_account" && { select_account: {} }),
  });
}

function account(id) {
  const user = USERS.get(id);
  if (!user) return undefined;
  return {
    accountId: id,
    claims: () => ({
      sub: id,
      name: user.name,
      preferred_username: id,
      email: `${id}@example.com`,
      email_verified: true,
      groups: user.groups,
    }),
  };
}

/** Our one client is first-party: whoever logs in has consented. */
async function loadExistingGrant(ctx) {
  const { provider, client, session, params, result } = ctx.oidc;
  const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope);
  await grant.save();
  return grant;
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
