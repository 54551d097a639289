// The peer of `cargo xtask bench tokens`: npm `oidc-provider` with its store in memory, as a plain
// node process. The same client as ours: public, PKCE, ES256 ID tokens, JWT access tokens for one
// audience, refresh tokens that rotate. Whoever the `login_hint` names is logged in without a form.
//
//   node bench/oidc-provider.mjs PORT

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(new URL("../dev/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(resolve(name)));
const { default: Provider } = await load("oidc-provider");
const { default: MemoryAdapter } = await import(
  pathToFileURL(resolve("oidc-provider/lib/adapters/memory_adapter.js"))
);

/** The library's own store in memory, under a name of ours: it warns about the bare one. */
class Memory extends MemoryAdapter {}

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const audience = "http://127.0.0.1/api";
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

const provider = new Provider(issuer, {
  adapter: Memory,
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: "bench" }] },
  cookies: { keys: [randomBytes(32).toString("base64url")] },
  clients: [
    {
      client_id: "demo-app",
      token_endpoint_auth_method: "none",
      id_token_signed_response_alg: "ES256",
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      redirect_uris: ["http://127.0.0.1:53682/callback"],
    },
  ],
  claims: { openid: ["sub"], profile: ["name"] },
  scopes: ["openid", "offline_access"],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
  expiresWithSession: () => false,
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: id }) }),
  loadExistingGrant: newGrant,
  interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "openid profile",
        audience,
        accessTokenTTL: 300,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  ttl: { AccessToken: 300, IdToken: 300, AuthorizationCode: 60, RefreshToken: 43200, Interaction: 60, Session: 43200, Grant: 43200 },
});
provider.on("server_error", (_ctx, error) => console.error("peer:", error));

/** A grant per log-in, as a session of ours is one. */
async function newGrant(ctx) {
  const { client, session } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope("openid profile offline_access");
  grant.addResourceScope(audience, "openid profile");
  await grant.save();
  return grant;
}

const protocol = provider.callback();
const server = createServer(async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return protocol(request, response);
  const { params } = await provider.interactionDetails(request, response);
  await provider.interactionFinished(request, response, { login: { accountId: params.login_hint } });
});
server.listen(port, "127.0.0.1", () => console.log("ready"));
