// Signing keys: made, rotated, published or not, and what is signed with them (RFC 7515, RFC 7518).

import { constants, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";

/** Everything that there can be a key for. */
export const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const CURVES = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

/** The provider's keys. The newest of an algorithm is the one in use. */
export class KeyRing {
  #state;

  constructor(state) {
    this.#state = state;
  }

  /** The key in use for `alg`, made and published if there is none. */
  current(alg) {
    return this.#state.keys.find(({ jwk }) => jwk.alg === alg)?.jwk ?? this.make(alg);
  }

  /**
   * A new key for `alg`, in use and published from now on. A `kid` that is given may be one that another key has: some
   * providers do that.
   */
  make(alg, kid = `${alg.toLowerCase()}-${randomBytes(6).toString("hex")}`) {
    const jwk = { ...generate(alg), alg, use: "sig", kid };
    this.#state.keys.unshift({ jwk, published: true });
    this.#state.save();
    return jwk;
  }

  /** Takes every key out of the key document but these. */
  publishOnly(these) {
    for (const key of this.#state.keys) key.published = these.includes(key.jwk);
    this.#state.save();
  }

  /** What the key document says. */
  published() {
    return this.#state.keys.filter(({ published }) => published).map(({ jwk }) => publicJwk(jwk));
  }

  /** Every private key, newest first; of those that share a kid only the newest. */
  all() {
    const keys = this.#state.keys.map(({ jwk }) => jwk);
    return keys.filter((jwk, at) => keys.findIndex(({ kid }) => kid === jwk.kid) === at);
  }
}

/** A new private JWK, nameless. */
export function generate(alg) {
  if (!ALGORITHMS.includes(alg)) throw new TypeError(`no key for "${alg}", only for ${ALGORITHMS.join(", ")}`);
  const { privateKey } = /^[RP]S/.test(alg)
    ? generateKeyPairSync("rsa", { modulusLength: 2048 })
    : CURVES[alg]
      ? generateKeyPairSync("ec", { namedCurve: CURVES[alg] })
      : generateKeyPairSync("ed25519");
  return privateKey.export({ format: "jwk" });
}

/** The half of a key that everybody may know, as the key document says it. */
export function publicJwk({ alg, use, kid, ...jwk }) {
  return { ...createPublicKey({ key: jwk, format: "jwk" }).export({ format: "jwk" }), alg, use, kid };
}

/** The same half as PEM. */
export function publicPem(jwk) {
  return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
}

/** Whether `alg` is one that this key could sign with, its own or another of the same family. */
export function suits(jwk, alg) {
  return jwk.kty === "RSA" ? /^[RP]S/.test(alg) : jwk.alg === alg;
}

/** A compact JWS with exactly this header and this payload; `key` is a private JWK, or for HS256 the secret itself. */
export function compact(header, payload, key, alg = header.alg) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${signature(input, key, alg).toString("base64url")}`;
}

function signature(input, key, alg) {
  if (alg === "none") return Buffer.alloc(0);
  if (alg.startsWith("HS")) return createHmac(`sha${alg.slice(2)}`, key).update(input).digest();
  const options = { key: createPrivateKey({ key, format: "jwk" }) };
  if (alg === "EdDSA") return sign(null, Buffer.from(input), options);
  if (alg.startsWith("PS")) {
    Object.assign(options, { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
  }
  if (alg.startsWith("ES")) options.dsaEncoding = "ieee-p1363";
  return sign(`sha${alg.slice(2)}`, Buffer.from(input), options);
}
