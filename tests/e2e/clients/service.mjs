// A confidential client: client credentials, its ways to authenticate, token exchange.

import { discover, logIn, main, oidc, refusal, verified } from "./stock.mjs";

const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

/** The demo service, authenticating as told. */
function demoService(service, authentication = oidc.ClientSecretBasic("dev-secret"), clientId = "demo-service") {
  return discover({ service, clientId, authentication });
}

await main({
  /** A token for the service itself, by its secret in either place. */
  async credentials({ service, audience }) {
    const seen = {};
    for (const [how, authentication] of [
      ["basic", oidc.ClientSecretBasic("dev-secret")],
      ["post", oidc.ClientSecretPost("dev-secret")],
    ]) {
      const config = await demoService(service, authentication);
      const tokens = await oidc.clientCredentialsGrant(config, { scope: "read" });
      seen[how] = { tokens, access: await verified(config, tokens.access_token, audience) };
    }
    return seen;
  },

  /** Who is not the service: each refusal must look like the others. */
  async impostors({ service }) {
    const seen = {};
    for (const [how, authentication, clientId] of [
      ["wrong", oidc.ClientSecretPost("wrong-secret")],
      ["none", oidc.None()],
      ["unknown", oidc.ClientSecretPost("dev-secret"), "nobody"],
      ["public", oidc.ClientSecretPost("dev-secret"), "demo-app"],
      ["wrongBasic", oidc.ClientSecretBasic("wrong-secret")],
      ["unknownBasic", oidc.ClientSecretBasic("dev-secret"), "nobody"],
    ]) {
      const config = await demoService(service, authentication, clientId);
      seen[how] = await refusal(oidc.clientCredentialsGrant(config));
    }
    return seen;
  },

  /** More than the service may have, another audience, and a grant that is not for it. */
  async exceeded({ service }) {
    const config = await demoService(service);
    const app = await discover({ service });
    return {
      scope: await refusal(oidc.clientCredentialsGrant(config, { scope: "admin" })),
      resource: await refusal(oidc.clientCredentialsGrant(config, { resource: "https://elsewhere.example" })),
      grant: await refusal(oidc.clientCredentialsGrant(app)),
    };
  },

  /** A person's token, sent to the service, for one to act for that person with (RFC 8693). */
  async exchange({ service, user, audience }) {
    const app = await discover({ service });
    const person = await logIn(app, user, { scope: "openid profile read" });
    const config = await demoService(service);
    const exchange = (subject) =>
      oidc.genericGrantRequest(config, TOKEN_EXCHANGE, {
        subject_token: subject,
        subject_token_type: ACCESS_TOKEN,
      });
    const tokens = await exchange(person.access_token);
    return {
      person,
      tokens,
      access: await verified(config, tokens.access_token, audience),
      idToken: await refusal(exchange(person.id_token)),
    };
  },
});
