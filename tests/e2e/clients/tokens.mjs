// What can be asked about a token, and how it is given back: userinfo, introspection, revocation,
// back-channel log-out.

import { discover, jose, logIn, main, oidc, operator, refusal, REDIRECT_URI, serve } from "./stock.mjs";

const demoService = (service) =>
  discover({ service, clientId: "demo-service", authentication: oidc.ClientSecretBasic("dev-secret") });

await main({
  /** Who the person is, by the scopes of the token; the library compares `sub` with the ID token's. */
  async userinfo({ service, user }) {
    const config = await discover({ service });
    const ask = async (scope) => {
      const tokens = await logIn(config, user, { scope });
      return oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    };
    const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
    const tokens = await logIn(config, user);
    const bound = await oidc.refreshTokenGrant(config, tokens.refresh_token, {}, { DPoP });
    const { sub } = tokens.claims();
    return {
      sub,
      openid: await ask("openid"),
      profile: await ask("openid profile"),
      email: await ask("openid email"),
      bound: await oidc.fetchUserInfo(config, bound.access_token, sub, { DPoP }),
      downgraded: await refusal(oidc.fetchUserInfo(config, bound.access_token, sub)),
      garbage: await refusal(oidc.fetchUserInfo(config, "no.token.this", sub)),
    };
  },

  /** The resource server asks; the token ends; it asks again. */
  async introspection({ service, user }) {
    const [app, resource] = [await discover({ service }), await demoService(service)];
    const tokens = await logIn(app, user);
    const ask = (token) => oidc.tokenIntrospection(resource, token);
    const before = await ask(tokens.access_token);
    const notItsBusiness = await ask(tokens.refresh_token);
    await oidc.tokenRevocation(app, tokens.access_token);
    return {
      tokens,
      before,
      notItsBusiness,
      after: await ask(tokens.access_token),
      garbage: await ask("garbage"),
      public: await refusal(oidc.tokenIntrospection(app, tokens.access_token)),
    };
  },

  /** A refresh token takes its whole grant along; another's token stays. */
  async revocation({ service, user }) {
    const app = await discover({ service });
    const other = await discover({ service, clientId: "demo-third-party" });
    const kept = await logIn(app, user);
    const ended = await logIn(app, user);
    await oidc.tokenRevocation(app, ended.refresh_token);
    return {
      kept,
      ended,
      foreign: await refusal(oidc.tokenRevocation(other, kept.refresh_token)),
      refreshed: await refusal(oidc.refreshTokenGrant(app, ended.refresh_token)),
      garbage: (await oidc.tokenRevocation(app, "garbage")) === undefined,
    };
  },

  /** The application is told that a session is over, with a token that a stock library verifies. */
  async backChannel({ service, user }) {
    let told;
    const confirmed = new Promise((resolve) => (told = resolve));
    const receiver = await serve((request, body) => {
      told(new URLSearchParams(body).get("logout_token"));
      return {};
    });
    const { client_id: clientId } = await operator(service, "POST", "/v1/clients", {
      client_name: "Told when it is over",
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      first_party: true,
      backchannel_logout_uri: `${receiver}/over`,
      backchannel_logout_session_required: true,
    });
    const config = await discover({ service, clientId });
    const tokens = await logIn(config, user);
    await oidc.tokenRevocation(config, tokens.refresh_token);
    const patience = new Promise((_, lost) => setTimeout(() => lost(new Error("nobody told the client")), 15_000));
    const token = await Promise.race([confirmed, patience]);
    const { issuer, jwks_uri } = config.serverMetadata();
    const keys = jose.createRemoteJWKSet(new URL(jwks_uri));
    const { payload } = await jose.jwtVerify(token, keys, { issuer, audience: clientId, typ: "logout+jwt" });
    return { tokens, id: tokens.claims(), payload };
  },
});
