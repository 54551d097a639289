// A signing key with the self-signed certificate that a provider's metadata would have (RFC 5280), in just enough DER.

import { generateKeyPairSync, sign } from "node:crypto";

/** `{ privateKey, certificate }`: PEM, and DER in base64. */
export function makeKey() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const signed = sequence(
    tagged(0xa0, integer(2)),
    integer(1),
    SHA256_WITH_RSA,
    NAME,
    sequence(utcTime("260101000000Z"), utcTime("360101000000Z")),
    NAME,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const signature = tagged(0x03, Buffer.concat([Buffer.of(0), sign("sha256", signed, privateKey)]));
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }),
    certificate: sequence(signed, SHA256_WITH_RSA, signature).toString("base64"),
  };
}

function tagged(tag, content) {
  const { length } = content;
  const header = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

function sequence(...parts) {
  return tagged(0x30, Buffer.concat(parts));
}

function integer(value) {
  return tagged(0x02, Buffer.of(value));
}

function utcTime(text) {
  return tagged(0x17, Buffer.from(text));
}

/** sha256WithRSAEncryption, 1.2.840.113549.1.1.11 */
const SHA256_WITH_RSA = sequence(Buffer.from("06092a864886f70d01010b", "hex"), Buffer.from("0500", "hex"));
/** CN (2.5.4.3) = idp */
const NAME = sequence(tagged(0x31, sequence(Buffer.from("0603550403", "hex"), tagged(0x0c, Buffer.from("idp")))));
