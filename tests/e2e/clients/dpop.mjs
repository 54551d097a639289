// Tokens bound to a key of the client's (RFC 9449).

import { authorize, discover, main, oidc, refusal, request, verified } from "./stock.mjs";

await main({
  /** Code and refresh with proofs; then what somebody who has only the tokens can do. */
  async bound({ service, user, audience }) {
    const config = await discover({ service });
    const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
    const thief = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
    const { url, checks } = await request(config);
    const first = await oidc.authorizationCodeGrant(config, await authorize(url, user), checks, {}, { DPoP });
    const second = await oidc.refreshTokenGrant(config, first.refresh_token, {}, { DPoP });
    return {
      tokens: [first, second],
      thumbprint: await DPoP.calculateThumbprint(),
      access: [
        await verified(config, first.access_token, audience),
        await verified(config, second.access_token, audience),
      ],
      bearer: await refusal(oidc.refreshTokenGrant(config, second.refresh_token)),
      thief: await refusal(oidc.refreshTokenGrant(config, second.refresh_token, {}, { DPoP: thief })),
      third: await oidc.refreshTokenGrant(config, second.refresh_token, {}, { DPoP }),
    };
  },
});
