// Refresh tokens: rotation, a retry after a lost answer, and reuse.

import { discover, logIn, main, oidc, refusal, verified } from "./stock.mjs";

await main({
  /** Two rotations; the library verifies each ID token against the first. */
  async rotate({ service, user, audience }) {
    const config = await discover({ service });
    const first = await logIn(config, user);
    const second = await oidc.refreshTokenGrant(config, first.refresh_token);
    const third = await oidc.refreshTokenGrant(config, second.refresh_token);
    return {
      tokens: [first, second, third],
      access: await verified(config, third.access_token, audience),
      id: third.claims(),
    };
  },

  /** The same token again and twice at once, as after a lost answer; then its successor. */
  async retry({ service, user }) {
    const config = await discover({ service });
    const first = await logIn(config, user);
    const again = () => oidc.refreshTokenGrant(config, first.refresh_token);
    const answers = [await again(), ...(await Promise.all([again(), again()]))];
    const last = await oidc.refreshTokenGrant(config, answers[0].refresh_token);
    return { successors: answers.map((answer) => answer.refresh_token), last };
  },

  /** A token that was followed by one that was used already. */
  async reuse({ service, user }) {
    const config = await discover({ service });
    const first = await logIn(config, user);
    const second = await oidc.refreshTokenGrant(config, first.refresh_token);
    const third = await oidc.refreshTokenGrant(config, second.refresh_token);
    return {
      tokens: third,
      reused: await refusal(oidc.refreshTokenGrant(config, first.refresh_token)),
      latest: await refusal(oidc.refreshTokenGrant(config, third.refresh_token)),
    };
  },

  /** More than was granted, and less. */
  async scope({ service, user }) {
    const config = await discover({ service });
    const tokens = await logIn(config, user, { scope: "openid profile" });
    const more = await refusal(oidc.refreshTokenGrant(config, tokens.refresh_token, { scope: "openid profile email" }));
    const less = await oidc.refreshTokenGrant(config, tokens.refresh_token, { scope: "openid" });
    return { more, less };
  },

  /** A token that nobody was given, and one of another client's. */
  async foreign({ service, user }) {
    const config = await discover({ service });
    const other = await discover({ service, clientId: "demo-third-party" });
    const tokens = await logIn(config, user);
    return {
      made: await refusal(oidc.refreshTokenGrant(config, "pc_rt_AAAA.00000000")),
      anothers: await refusal(oidc.refreshTokenGrant(other, tokens.refresh_token)),
      tokens,
    };
  },
});
