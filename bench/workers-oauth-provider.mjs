// The peer of the strict check: npm `@cloudflare/workers-oauth-provider`, which keeps its tokens in KV.
// A GET under /api with an access token is validated by the library and answered "ok".
// `GET /new-token` goes through the library's own flow, where nobody is asked for consent, and
// answers with an access token.
//
// `cargo xtask bench strict-check` reports the service's rate against this one's.

import { env } from "cloudflare:workers";
import { OAuthProvider } from "@cloudflare/workers-oauth-provider";

const REDIRECT_URI = "http://127.0.0.1/callback";

const provider = new OAuthProvider({
  apiRoute: "/api",
  apiHandler: { fetch: () => new Response("ok") },
  defaultHandler: { fetch: newToken },
  authorizeEndpoint: "/authorize",
  tokenEndpoint: "/token",
  resourceMetadata: { resource: `${env.ORIGIN}/api`, authorization_servers: [env.ORIGIN] },
  scopesSupported: ["read"],
  accessTokenTTL: 3600,
});

async function newToken(request, env, context) {
  if (new URL(request.url).pathname !== "/new-token") return new Response("nothing is here", { status: 404 });
  const oauth = env.OAUTH_PROVIDER;
  const client = await oauth.createClient({ redirectUris: [REDIRECT_URI], tokenEndpointAuthMethod: "none" });
  const verifier = crypto.randomUUID() + crypto.randomUUID();
  const asked = new URLSearchParams({
    response_type: "code",
    client_id: client.clientId,
    redirect_uri: REDIRECT_URI,
    scope: "read",
    state: "bench",
    code_challenge: await challenge(verifier),
    code_challenge_method: "S256",
  });
  const authorization = await oauth.parseAuthRequest(new Request(`${env.ORIGIN}/authorize?${asked}`));
  const { redirectTo } = await oauth.completeAuthorization({
    request: authorization,
    userId: "alice",
    metadata: {},
    scope: ["read"],
    props: { user: "alice" },
  });
  const redeemed = new URLSearchParams({
    grant_type: "authorization_code",
    code: new URL(redirectTo).searchParams.get("code"),
    client_id: client.clientId,
    redirect_uri: REDIRECT_URI,
    code_verifier: verifier,
  });
  const token = await provider.fetch(new Request(`${env.ORIGIN}/token`, { method: "POST", body: redeemed }), env, context);
  if (!token.ok) return token;
  return new Response((await token.json()).access_token);
}

async function challenge(verifier) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const base64 = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export default provider;
