// What an authorization request can ask for besides a code: consent, step-up, resources; and how it can
// come: pushed.

import { authorize, Browser, discover, logIn, main, oidc, refusal, request, REDIRECT_URI, verified } from "./stock.mjs";

/** An application that is not the deployment's own. */
const thirdParty = (service) => discover({ service, clientId: "demo-third-party" });

/** Where people's answers for it are remembered: on loopback they are asked each time. */
const redirect_uri = "https://third-party.example/callback";

/** One log-in: what the browser was asked, and how to go on with what it brought back. */
async function attempt(config, user, { parameters, checks: extra, answer } = {}) {
  const browser = new Browser();
  const { url, checks } = await request(config, parameters);
  const back = await authorize(url, user, { browser, answer });
  const redeem = () => oidc.authorizationCodeGrant(config, back, { ...checks, ...extra });
  return { asked: browser.asked, redeem };
}

await main({
  /** Denied, then allowed, then remembered; more scope is asked for again. */
  async consent({ service, user }) {
    const config = await thirdParty(service);
    const come = (answer, extra) => attempt(config, user, { parameters: { redirect_uri, ...extra }, answer });
    const denied = await come("deny");
    const allowed = await come("allow");
    const again = await come("allow");
    const more = await come("allow", { scope: "openid profile email" });
    const prompted = await come("allow", { prompt: "consent" });
    return {
      denied: await refusal(denied.redeem()),
      allowed: await allowed.redeem(),
      asked: [denied, allowed, again, more, prompted].map(({ asked }) => asked.includes("answer")),
      live: [await again.redeem(), await more.redeem(), await prompted.redeem()],
    };
  },

  /** The library checks `auth_time` against `max_age`, and `acr` is what was asked for. */
  async stepUp({ service, user }) {
    const config = await discover({ service });
    const maxAge = await attempt(config, user, { parameters: { max_age: "30" }, checks: { maxAge: 30 } });
    const acr = await attempt(config, user, { parameters: { acr_values: "urn:demo:acr:two-factors" } });
    return {
      maxAge: (await maxAge.redeem()).claims(),
      acr: (await acr.redeem()).claims(),
    };
  },

  /** `prompt=none` without anybody logged in. */
  async silent({ service, user }) {
    const config = await discover({ service });
    return refusal((await attempt(config, user, { parameters: { prompt: "none" } })).redeem());
  },

  /** The token is for the resource that was asked for, and no other can be (RFC 8707). */
  async resource({ service, user, audience }) {
    const config = await discover({ service });
    const tokens = await logIn(config, user, { resource: audience });
    const elsewhere = await attempt(config, user, { parameters: { resource: "https://elsewhere.example" } });
    return {
      access: await verified(config, tokens.access_token, audience),
      elsewhere: await refusal(elsewhere.redeem()),
    };
  },

  /** The request is left with the service first (RFC 9126), once. */
  async pushed({ service, user }) {
    const config = await discover({ service });
    const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
    const checks = { pkceCodeVerifier, expectedState: oidc.randomState(), expectedNonce: oidc.randomNonce() };
    const url = await oidc.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: REDIRECT_URI,
      scope: "openid profile",
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: "S256",
      state: checks.expectedState,
      nonce: checks.expectedNonce,
    });
    const tokens = await oidc.authorizationCodeGrant(config, await authorize(url, user), checks);
    const bad = { redirect_uri: "https://elsewhere.example/callback", code_challenge_method: "S256" };
    return {
      parameters: [...url.searchParams.keys()].sort(),
      tokens,
      twice: await refusal(authorize(url, user)),
      refused: await refusal(oidc.buildAuthorizationUrlWithPAR(config, bad)),
    };
  },

  /** A code that was pushed with a proof is worth nothing to another key (RFC 9449 section 10.1). */
  async pushedBound({ service, user }) {
    const config = await discover({ service });
    const handle = async () => oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
    const [owner, thief] = [await handle(), await handle()];
    const redeem = async (options) => {
      const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
      const parameters = {
        redirect_uri: REDIRECT_URI,
        scope: "openid",
        code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: "S256",
      };
      const url = await oidc.buildAuthorizationUrlWithPAR(config, parameters, { DPoP: owner });
      const back = await authorize(url, user);
      return oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier }, {}, options);
    };
    return {
      thief: await refusal(redeem({ DPoP: thief })),
      bearer: await refusal(redeem({})),
      owner: await redeem({ DPoP: owner }),
    };
  },
});
