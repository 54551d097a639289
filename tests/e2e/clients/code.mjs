// Discovery, the authorization code flow, log-out, and their refusals.

import { authorize, discover, logIn, main, oidc, refusal, request, REDIRECT_URI, verified } from "./stock.mjs";

await main({
  /** What both well-known documents say to a client that starts from the issuer alone. */
  async discovery({ service }) {
    const documents = {};
    for (const algorithm of ["oidc", "oauth2"]) {
      const config = await discover({ service, algorithm });
      documents[algorithm] = { ...config.serverMetadata(), pkce: config.serverMetadata().supportsPKCE() };
    }
    return documents;
  },

  /** Code, PKCE, state, nonce, iss; then the access token at a resource server. */
  async code({ service, user, audience }) {
    const config = await discover({ service });
    const tokens = await logIn(config, user);
    return { tokens, id: tokens.claims(), access: await verified(config, tokens.access_token, audience) };
  },

  /** An answer without `iss`, or in another's name: the client refuses it only if it was promised one. */
  async iss({ service, user }) {
    const config = await discover({ service });
    const seen = {};
    for (const [how, change] of [
      ["missing", (back) => back.searchParams.delete("iss")],
      ["foreign", (back) => back.searchParams.set("iss", "https://other.example")],
    ]) {
      const { url, checks } = await request(config);
      const back = await authorize(url, user);
      change(back);
      seen[how] = await refusal(oidc.authorizationCodeGrant(config, back, checks));
    }
    return seen;
  },

  /** A code that comes twice, with another verifier, and for another redirect URI. */
  async misused({ service, user }) {
    const config = await discover({ service });
    const used = await request(config);
    const back = await authorize(used.url, user);
    const tokens = await oidc.authorizationCodeGrant(config, back, used.checks);
    const twice = await refusal(oidc.authorizationCodeGrant(config, back, used.checks));

    const { url, checks } = await request(config);
    const other = { ...checks, pkceCodeVerifier: oidc.randomPKCECodeVerifier() };
    const verifier = await refusal(oidc.authorizationCodeGrant(config, await authorize(url, user), other));

    const moved = await request(config);
    const elsewhere = await authorize(moved.url, user);
    elsewhere.pathname = "/cb";
    const redirect = await refusal(oidc.authorizationCodeGrant(config, elsewhere, moved.checks));
    return { tokens, twice, verifier, redirect };
  },

  /** Requests that no browser can finish. */
  async refused({ service, user }) {
    const config = await discover({ service });
    const back = async (parameters) => {
      const { url, checks } = await request(config, parameters);
      const answer = authorize(url, user).then((at) => oidc.authorizationCodeGrant(config, at, checks));
      return refusal(answer);
    };
    return {
      responseType: await back({ response_type: "token" }),
      plain: await back({ code_challenge_method: "plain" }),
      redirect: await back({ redirect_uri: "https://elsewhere.example/callback" }),
      client: await back({ client_id: "nobody" }),
    };
  },

  /** A log-in that is refused to this person. */
  async denied({ service, user }) {
    const config = await discover({ service });
    const { url, checks } = await request(config);
    const back = await authorize(url, user);
    return refusal(oidc.authorizationCodeGrant(config, back, checks));
  },

  /** A client id that nobody registered, at the token endpoint. */
  async stranger({ service, user }) {
    const config = await discover({ service });
    const stranger = await discover({ service, clientId: "nobody" });
    const { url, checks } = await request(config);
    return refusal(oidc.authorizationCodeGrant(stranger, await authorize(url, user), checks));
  },

  /** RP-initiated log-out, back to the application. */
  async logout({ service, user }) {
    const config = await discover({ service });
    const tokens = await logIn(config, user);
    const state = oidc.randomState();
    const url = oidc.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: REDIRECT_URI,
      state,
    });
    const back = await authorize(url, user);
    return { tokens, id: tokens.claims(), returned: back.searchParams.get("state") === state };
  },
});
