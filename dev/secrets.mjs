// What the local stack must remember between runs besides the objects' state: keys that give
// objects their names, the client secret that service and identity provider share, and the
// identity provider's signing key. Made once, kept in the state directory, readable by its owner.

import { randomBytes, generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Reads `secrets.json` in `directory`, adding whatever is not in it yet. */
export function loadSecrets(directory) {
  const file = join(directory, "secrets.json");
  const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const secrets = {
    namingKey: kept.namingKey ?? random(),
    serviceKey: kept.serviceKey ?? random(),
    assertionKey: kept.assertionKey ?? random(),
    oidcClientSecret: kept.oidcClientSecret ?? random(),
    idpCookieKey: kept.idpCookieKey ?? random(),
    idpSigningKey: kept.idpSigningKey ?? signingKey(),
  };
  if (JSON.stringify(kept) !== JSON.stringify(secrets)) {
    // Renamed into place: a run that is killed here leaves the old file or the new one.
    writeFileSync(`${file}.new`, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return secrets;
}

/** 32 random bytes, base64url. */
function random() {
  return randomBytes(32).toString("base64url");
}

/** A private JWK for RS256, named by when it was made. */
function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: `idp-${Date.now()}` };
}
