// ID tokens as the provider makes them, then as a test wants them: with other claims, and bent.

import { compact, generate, publicJwk, publicPem, suits } from "./keys.mjs";

/** What of a lie is no claim. */
const OF_THE_TOKEN = ["alg", "kid", "typ", "header", "secret", "key", "signature", "id_token", "times"];

/**
 * What is wrong with the ID tokens of the next log-ins: claims by name (`issuer` for `iss`), where null takes one away;
 * header parameters `kid`, `typ` and whatever is in `header`; and
 *
 * - `alg`: `none` has no signature; HS256 is keyed with what `secret` says: the public key as `pem` (which is meant if
 *   nothing is said) or as `jwk`, or the `client_secret`; another is signed by the key in use, if that can, or by a
 *   published one of that algorithm
 * - `key`: "foreign", one that is published nowhere, under the kid of the one in use
 * - `signature`: "bent" has one bit turned, "missing" is cut off with the header left as it was
 * - `id_token`: what to send instead of one; null sends none
 * - `times`: to so many log-ins; to all until told otherwise if absent
 */
export class Lies {
  #lie = {};

  tell(lie) {
    this.#lie = lie;
  }

  /** The lie for the log-in at hand, which counts. */
  next() {
    const lie = this.#lie;
    if (lie.times !== undefined && --lie.times <= 0) this.#lie = {};
    return lie;
  }
}

/** A token with these claims, as the lie has it; `jwk` is the key in use. */
export function bent({ header, claims, jwk, ring, lie, clientSecret }) {
  const payload = patched(claims, lieAbout(lie));
  const alg = lie.alg ?? jwk.alg;
  const key = lie.key === "foreign" ? generate(alg) : keyFor({ alg, jwk, ring, lie, clientSecret });
  const parameters = patched({ ...header, alg, kid: key?.kid ?? jwk.kid }, { ...own(lie, ["kid", "typ"]), ...lie.header });
  const token = compact(parameters, payload, key, alg);
  if (lie.signature === "missing") return token.slice(0, token.lastIndexOf(".") + 1);
  return lie.signature === "bent" ? withOneBitTurned(token) : token;
}

function keyFor({ alg, jwk, ring, lie, clientSecret }) {
  if (alg === "none") return undefined;
  if (!alg.startsWith("HS")) return suits(jwk, alg) ? jwk : ring.current(alg);
  if (lie.secret === "client_secret") return clientSecret;
  return lie.secret === "jwk" ? JSON.stringify(publicJwk(jwk)) : publicPem(jwk);
}

function lieAbout({ issuer, ...lie }) {
  const claims = Object.entries(lie).filter(([name]) => !OF_THE_TOKEN.includes(name));
  return { ...Object.fromEntries(claims), ...(issuer !== undefined && { iss: issuer }) };
}

/** `members` with those of `changes`, where null takes one away. */
export function patched(members, changes) {
  return Object.fromEntries(Object.entries({ ...members, ...changes }).filter(([, value]) => value !== null));
}

function own(object, names) {
  return Object.fromEntries(names.filter((name) => name in object).map((name) => [name, object[name]]));
}

function withOneBitTurned(token) {
  const at = token.lastIndexOf(".") + 1;
  const bytes = Buffer.from(token.slice(at), "base64url");
  bytes[bytes.length - 1] ^= 1;
  return token.slice(0, at) + bytes.toString("base64url");
}

/** The header or the claims of a token that is known to be good. */
export function decoded(token, part) {
  return JSON.parse(Buffer.from(token.split(".")[part], "base64url").toString("utf8"));
}
