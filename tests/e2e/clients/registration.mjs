// How a client comes to be known, and proves who it is by a key: by an operator, by itself, by a document
// at its own URL; and how a workload's own identity is enough.

import { discover, jose, logIn, main, oidc, operator, refusal, REDIRECT_URI, serve, verified } from "./stock.mjs";

const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

async function keyPair() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const jwk = { ...(await jose.exportJWK(publicKey)), kid: "k", alg: "ES256", use: "sig" };
  return { key: privateKey, jwks: { keys: [jwk] } };
}

await main({
  /** `private_key_jwt`: by the right key, by another, and with an assertion that came before. */
  async privateKeyJwt({ service, audience }) {
    const [own, other] = [await keyPair(), await keyPair()];
    const { client_id: clientId } = await operator(service, "POST", "/v1/clients", {
      client_name: "Has a key",
      token_endpoint_auth_method: "private_key_jwt",
      grant_types: ["client_credentials"],
      jwks: own.jwks,
      scope: "read",
    });
    const by = (key, options) =>
      discover({ service, clientId, authentication: oidc.PrivateKeyJwt({ key, kid: "k" }, options) });
    const tokens = await oidc.clientCredentialsGrant(await by(own.key));
    const sameAgain = { [oidc.modifyAssertion]: (_header, payload) => (payload.jti = `again-${clientId}`) };
    const replaying = await by(own.key, sameAgain);
    await oidc.clientCredentialsGrant(replaying);
    return {
      clientId,
      tokens,
      access: await verified(replaying, tokens.access_token, audience),
      replayed: await refusal(oidc.clientCredentialsGrant(replaying)),
      other: await refusal(oidc.clientCredentialsGrant(await by(other.key))),
      keyless: await refusal(oidc.clientCredentialsGrant(await discover({ service, clientId }))),
    };
  },

  /** RFC 7591 and then a log-in: what an MCP client does with a server that it never met. */
  async dynamic({ service, user }) {
    const config = await oidc.dynamicClientRegistration(
      new URL(service),
      { client_name: "Unprepared", redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: "none" },
      oidc.None(),
      { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] },
    );
    const tokens = await logIn(config, user);
    return { clientId: config.clientMetadata().client_id, tokens };
  },

  /** A server where that is not allowed. */
  async notAllowed({ service }) {
    const registering = oidc.dynamicClientRegistration(new URL(service), { redirect_uris: [REDIRECT_URI] }, oidc.None(), {
      execute: [oidc.allowInsecureRequests],
    });
    return refusal(registering);
  },

  /** The `client_id` is the address of the client's own description. */
  async document({ service, user }) {
    let clientId;
    const host = await serve(({ url }) =>
      url === "/client.json"
        ? { client_id: clientId, client_name: "At its own URL", redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: "none" }
        : undefined,
    );
    clientId = `${host}/client.json`;
    const tokens = await logIn(await discover({ service, clientId }), user);
    return { clientId, tokens };
  },

  /** A CI job's own token for one of ours, by either grant, and what a declared trust does not let through. */
  async workload({ service, audience }) {
    const { key, jwks } = await keyPair();
    const issuer = await serve(({ url }) => {
      if (url === "/.well-known/openid-configuration") return { issuer, jwks_uri: `${issuer}/keys` };
      return url === "/keys" ? jwks : undefined;
    });
    const token = (claims) =>
      new jose.SignJWT({ iss: issuer, repository: "acme/app", ref: "refs/heads/main", ...claims })
        .setProtectedHeader({ alg: "ES256", kid: "k" })
        .setSubject("job")
        .setAudience(service)
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .setExpirationTime("5m")
        .sign(key);
    const { client_id: clientId } = await operator(service, "POST", "/v1/clients", {
      client_name: "Deploys",
      token_endpoint_auth_method: "none",
      grant_types: [JWT_BEARER, TOKEN_EXCHANGE],
      scope: "deploy read",
    });
    await operator(service, "POST", "/v1/trusts", {
      issuer,
      audience: service,
      claims: { repository: "acme/app", ref: "refs/heads/main" },
      client_id: clientId,
      scope: "deploy",
    });
    const config = await discover({ service, clientId });
    const bearer = (assertion, scope) =>
      oidc.genericGrantRequest(config, JWT_BEARER, { assertion, ...(scope && { scope }) });
    const exchange = (subject) =>
      oidc.genericGrantRequest(config, TOKEN_EXCHANGE, {
        subject_token: subject,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      });
    const once = await token();
    const tokens = await bearer(once);
    return {
      clientId,
      tokens,
      access: await verified(config, tokens.access_token, audience),
      exchanged: await exchange(await token()),
      otherRepository: await refusal(bearer(await token({ repository: "acme/evil" }))),
      elsewhere: await refusal(bearer(await token({ iss: "https://other.example" }))),
      otherRef: await refusal(bearer(await token({ ref: "refs/heads/evil" }))),
      moreScope: await refusal(bearer(await token(), "deploy read")),
      again: await bearer(once), // a platform gives a job one token for its whole run
    };
  },
});
