// Answers to SAML requests, honest and otherwise.

import { randomUUID } from "node:crypto";
import { installed } from "./package.mjs";

const { SignedXml } = await installed("xml-crypto");

const SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success";
const RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder";
const BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
const C14N = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256";
const RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/**
 * The answer as XML. With a `status` nobody logged in. A lie, whose rest is as it should be, the signature included:
 *
 * - `audience`, `in_response_to`, `recipient`, `destination`, `issuer`: another one
 * - `expires_in`, `authenticated_ago`: seconds, of the assertion and of the log-in
 * - `name_id`, `session_index`: as XML
 * - `sign`: "response" instead of the assertion, or "nothing"
 * - `key`: "foreign", one of no certificate that anybody knows
 * - `wrap`: the signed assertion stands in the extensions, and where it was stands an unsigned one about this name
 */
export function respond({ idp, service, acs, request, user, status, attributes, key, lie }) {
  const now = Date.now();
  const at = (seconds) => new Date(now + seconds * 1000).toISOString();
  const inResponseTo = lie.in_response_to ?? request.id;
  const issuer = `<saml:Issuer>${escape(lie.issuer ?? idp)}</saml:Issuer>`;
  const assertion = () => {
    const until = at(lie.expires_in ?? 300);
    const recipient = escape(lie.recipient ?? acs);
    return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_${randomUUID()}" Version="2.0" IssueInstant="${at(0)}">${issuer}
<saml:Subject><saml:NameID Format="${PERSISTENT}">${lie.name_id ?? escape(user)}</saml:NameID><saml:SubjectConfirmation Method="${BEARER}">
<saml:SubjectConfirmationData NotOnOrAfter="${until}" Recipient="${recipient}" InResponseTo="${inResponseTo}"/>
</saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="${at(-60)}" NotOnOrAfter="${until}"><saml:AudienceRestriction><saml:Audience>${escape(lie.audience ?? service)}</saml:Audience></saml:AudienceRestriction></saml:Conditions>
<saml:AuthnStatement AuthnInstant="${at(-(lie.authenticated_ago ?? 0))}" SessionIndex="${lie.session_index ?? `_${randomUUID()}`}"><saml:AuthnContext><saml:AuthnContextClassRef>${PASSWORD}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement>${Object.entries(attributes).map(attribute).join("")}</saml:AttributeStatement></saml:Assertion>`;
  };
  const code = status
    ? `<samlp:StatusCode Value="${RESPONDER}"><samlp:StatusCode Value="${status}"/></samlp:StatusCode>`
    : `<samlp:StatusCode Value="${SUCCESS}"/>`;
  const destination = escape(lie.destination ?? acs);
  const xml = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_${randomUUID()}" Version="2.0" IssueInstant="${at(0)}" Destination="${destination}" InResponseTo="${inResponseTo}">${issuer}
<samlp:Status>${code}</samlp:Status>
${status ? "" : assertion()}</samlp:Response>`;
  if (status || lie.sign === "nothing") return xml;
  const signed = sign(xml, lie.sign === "response" ? "Response" : "Assertion", key);
  return lie.wrap ? wrapped(signed, user, lie.wrap) : signed;
}

function attribute([name, values]) {
  if (values === null) return "";
  const all = values.map((value) => `<saml:AttributeValue>${escape(value)}</saml:AttributeValue>`);
  return `<saml:Attribute Name="${escape(name)}">${all.join("")}</saml:Attribute>`;
}

function sign(xml, name, { privateKey, certificate }) {
  const element = `//*[local-name(.)='${name}']`;
  const signer = new SignedXml({
    privateKey,
    publicCert: `-----BEGIN CERTIFICATE-----\n${certificate.match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`,
    signatureAlgorithm: RSA_SHA256,
    canonicalizationAlgorithm: C14N,
  });
  signer.addReference({ xpath: element, digestAlgorithm: SHA256, transforms: [ENVELOPED, C14N] });
  const location = { reference: `${element}/*[local-name(.)='Issuer']`, action: "after" };
  signer.computeSignature(xml, { prefix: "ds", location });
  return signer.getSignedXml();
}

/** The signed assertion where a signature is still found by its ID, and another where an assertion is read. */
function wrapped(xml, user, name) {
  const [signed] = xml.match(/<saml:Assertion .*<\/saml:Assertion>/s);
  const forged = signed
    .replace(/<ds:Signature .*<\/ds:Signature>/s, "")
    .replace(/ ID="[^"]*"/, ' ID="_forged"')
    .replace(`>${escape(user)}</saml:NameID>`, `>${escape(name)}</saml:NameID>`);
  const extensions = `<samlp:Extensions>${signed}</samlp:Extensions>`;
  return xml.replace(signed, forged).replace("<samlp:Status>", `${extensions}<samlp:Status>`);
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
