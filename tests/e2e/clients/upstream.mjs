// The stock client at the identity provider of tests/e2e/upstream: what it makes of what the provider is told to do.

import { authorize, discover, jose, main, oidc, refusal, request, serve } from "./stock.mjs";

/** A client after discovery; `authentication` is by its secret unless it is given. */
function configure({ service, id: clientId, secret, algorithm, authentication = oidc.ClientSecretBasic(secret) }) {
  const metadata = { client_secret: secret, id_token_signed_response_alg: algorithm };
  return discover({ service, clientId, metadata, authentication });
}

/** A log-in that ends with an ID token which is verified by signature: its header and its claims. */
async function logIn(config, user) {
  const { url, checks } = await request(config, { scope: "openid profile email" });
  const tokens = await oidc.authorizationCodeGrant(config, await authorize(url, user), checks);
  return { header: jose.decodeProtectedHeader(tokens.id_token), claims: tokens.claims() };
}

async function control(service, name, what) {
  const response = await fetch(`${service}/control/${name}`, { method: "POST", body: JSON.stringify(what) });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
}

await main({
  /** One log-in at each of the clients. */
  async logIns({ service, clients, user }) {
    const seen = [];
    for (const client of clients) seen.push(await logIn(await configure({ service, ...client }), user));
    return seen;
  },

  /** A log-in with each of the lies, every one told once; then the truth. */
  async lies({ service, client, lies, user }) {
    const config = await configure({ service, ...client });
    const refused = [];
    for (const lie of lies) {
      await control(service, "lie", { ...lie, times: 1 });
      refused.push(await refusal(logIn(config, user)));
    }
    return { refused, truth: await logIn(config, user) };
  },

  /** A log-in of a client that has a key instead of a secret. */
  async privateKeyJwt({ service, client, user }) {
    const { publicKey, privateKey } = await jose.generateKeyPair("ES256");
    const key = { ...(await jose.exportJWK(publicKey)), kid: "ours", alg: "ES256" };
    const jwks_uri = await serve(() => ({ keys: [key] }));
    await control(service, "client", { client_id: client.id, jwks_uri });
    const authentication = oidc.PrivateKeyJwt({ key: privateKey, kid: "ours" });
    return logIn(await configure({ service, ...client, authentication }), user);
  },
});
