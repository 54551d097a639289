"""Makes the files beside it, with implementations that are not ours.

    pip install signxml==5.2.0 lxml==6.1.3 cryptography==50.0.2
    apt-get install xmlsec1
    python make.py

Certificates are by `cryptography`, signatures by `signxml` and `xmlsec1` (each names its maker in the
file's name), canonical forms by libxml2 through `lxml`. `xmlsec1` must verify whatever it did not make
itself. The private keys are made here and thrown away, so a run replaces all files at once.
"""

import datetime
import json
import pathlib
import random
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import XMLSigner, methods

HERE = pathlib.Path(__file__).parent
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
DS = "http://www.w3.org/2000/09/xmldsig#"

# As in testing.rs. The instants are around 2027-01-15T08:00:00Z.
SAML = "urn:oasis:names:tc:SAML:2.0"
IDP = "https://idp.example/metadata"
SP = "https://id.example/saml"
ACS = "https://id.example/saml/acs"
REQUEST = "saml_AQEBAQEBAQEBAQEBAQEBAQ"


def key_and_certificate(name, key):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2026, 1, 1))
        .not_valid_after(datetime.datetime(2036, 1, 1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    (HERE / f"{name}.crt.pem").write_text(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, pem


def assertion(name="alice@example.com", prefixed=True):
    """An assertion with a place for its signature, with prefixes or in the default namespace."""
    p, xmlns = ("saml:", "xmlns:saml") if prefixed else ("", "xmlns")
    values = (
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string"'
    )
    return (
        f'<{p}Assertion {xmlns}="{SAML}:assertion" ID="_a1" Version="2.0"'
        ' IssueInstant="2027-01-15T07:59:58Z">'
        f"<{p}Issuer>{IDP}</{p}Issuer>"
        "@SIGNATURE@"
        f'<{p}Subject><{p}NameID Format="{SAML}:nameid-format:persistent">{name}</{p}NameID>'
        f'<{p}SubjectConfirmation Method="{SAML}:cm:bearer"><{p}SubjectConfirmationData'
        f' NotOnOrAfter="2027-01-15T08:05:00Z" Recipient="{ACS}" InResponseTo="{REQUEST}"/>'
        f"</{p}SubjectConfirmation></{p}Subject>"
        f'<{p}Conditions NotBefore="2027-01-15T07:55:00Z" NotOnOrAfter="2027-01-15T09:00:00Z">'
        f"<{p}AudienceRestriction><{p}Audience>{SP}</{p}Audience></{p}AudienceRestriction>"
        f"</{p}Conditions>"
        f'<{p}AuthnStatement AuthnInstant="2027-01-15T07:59:50Z" SessionIndex="_s1"><{p}AuthnContext>'
        f"<{p}AuthnContextClassRef>{SAML}:ac:classes:PasswordProtectedTransport"
        f"</{p}AuthnContextClassRef></{p}AuthnContext></{p}AuthnStatement>"
        f'<{p}AttributeStatement><{p}Attribute Name="groups">'
        f"<{p}AttributeValue{values}>staff</{p}AttributeValue>\n"
        f"<{p}AttributeValue{values}>R&amp;D \u00fc</{p}AttributeValue>"
        f'</{p}Attribute><{p}Attribute Name="mail"><{p}AttributeValue>{name}</{p}AttributeValue>'
        f"</{p}Attribute></{p}AttributeStatement></{p}Assertion>"
    )


def response(inner, place=""):
    return (
        f'<samlp:Response xmlns:samlp="{SAML}:protocol" ID="_r1" Version="2.0"'
        f' IssueInstant="2027-01-15T07:59:59Z" Destination="{ACS}" InResponseTo="{REQUEST}">\n'
        f'  <saml:Issuer xmlns:saml="{SAML}:assertion">{IDP}</saml:Issuer>{place}\n'
        f'  <samlp:Status><samlp:StatusCode Value="{SAML}:status:Success"/></samlp:Status>\n'
        f"  {inner}\n</samlp:Response>"
    )


def signxml(xml, element_id, private, certificate):
    """`xml` with the signature of its root, by signxml."""
    xml = xml.replace("@SIGNATURE@", f'<ds:Signature xmlns:ds="{DS}" Id="placeholder"/>', 1)
    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm="rsa-sha256",
        digest_algorithm="sha256",
        c14n_algorithm=EXCLUSIVE,
    )
    root = etree.fromstring(xml.encode())
    signed = signer.sign(root, key=private, cert=certificate, reference_uri=element_id)
    return etree.tostring(signed, encoding="unicode")


def template(element_id, method, digest, prefixes):
    inclusive = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>'
    return (
        f'<ds:Signature xmlns:ds="{DS}">\n<ds:SignedInfo>\n'
        f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>\n'
        f'<ds:SignatureMethod Algorithm="{method}"/>\n<ds:Reference URI="#{element_id}">\n'
        f'<ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/>\n'
        f'<ds:Transform Algorithm="{EXCLUSIVE}">{inclusive}</ds:Transform></ds:Transforms>\n'
        f'<ds:DigestMethod Algorithm="{digest}"/>\n<ds:DigestValue/>\n</ds:Reference>\n'
        "</ds:SignedInfo>\n<ds:SignatureValue/>\n</ds:Signature>"
    )


def xmlsec1(arguments, xml):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "in.xml"
        path.write_text(xml)
        ids = ["--id-attr:ID", f"{SAML}:assertion:Assertion", "--id-attr:ID", f"{SAML}:protocol:Response"]
        command = ["xmlsec1", *arguments, *ids, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sign_by_xmlsec1(xml, private):
    with tempfile.NamedTemporaryFile(suffix=".pem") as key:
        key.write(private)
        key.flush()
        signed = xmlsec1(["--sign", "--privkey-pem", key.name], xml)
    return signed.removeprefix('<?xml version="1.0"?>').strip()


def verify_by_xmlsec1(xml, certificate_path, node=None):
    where = ["--node-xpath", node] if node else []
    xmlsec1(["--verify", "--pubkey-cert-pem", str(certificate_path), *where], xml)


def signed_files():
    rsa_key, rsa_crt = key_and_certificate("rsa", rsa.generate_private_key(65537, 2048))
    ec_key, _ = key_and_certificate("ec", ec.generate_private_key(ec.SECP256R1()))
    key_and_certificate("weak", rsa.generate_private_key(65537, 1024))

    on_assertion = response(signxml(assertion(), "_a1", rsa_key, rsa_crt))
    bare = assertion(prefixed=False).replace("@SIGNATURE@", "")
    around = signxml(response(bare, "@SIGNATURE@"), "_r1", rsa_key, rsa_crt)
    both = response(signxml(assertion(), "_a1", rsa_key, rsa_crt), "@SIGNATURE@")
    both = signxml(both, "_r1", rsa_key, rsa_crt)

    more = "http://www.w3.org/2001/04/xmldsig-more#"
    sha256 = "http://www.w3.org/2001/04/xmlenc#sha256"
    rsa_sha256 = template("_a1", f"{more}rsa-sha256", sha256, "xs")
    ecdsa = template("_a1", f"{more}ecdsa-sha256", sha256, "#default saml xs")
    sha1 = template("_a1", f"{DS}rsa-sha1", f"{DS}sha1", "xs")

    def made_by_xmlsec1(signature, key, prefixed=True):
        xml = response(assertion(prefixed=prefixed).replace("@SIGNATURE@", signature))
        xml = xml.replace("<samlp:Response ", '<samlp:Response xmlns:xs="urn:other" ', 1)
        return sign_by_xmlsec1(xml, key)

    files = {
        "signxml_assertion": on_assertion,
        "signxml_response": around,
        "signxml_both": both,
        "xmlsec1_inclusive": made_by_xmlsec1(rsa_sha256, rsa_key),
        "xmlsec1_ecdsa": made_by_xmlsec1(ecdsa, ec_key, prefixed=False),
        "xmlsec1_sha1": made_by_xmlsec1(sha1, rsa_key),
    }
    for name, xml in files.items():
        (HERE / f"{name}.xml").write_text(xml)
        certificate = HERE / ("ec.crt.pem" if "ecdsa" in name else "rsa.crt.pem")
        assertion_signature = "//*[local-name()='Assertion']/*[local-name()='Signature']"
        if name != "signxml_response":
            verify_by_xmlsec1(xml, certificate, assertion_signature)
        if name in ("signxml_response", "signxml_both"):
            verify_by_xmlsec1(xml, certificate, "/*/*[local-name()='Signature']")


PREFIXES = ["", "a", "b", "saml"]
# None with an `&`: libxml2 does not escape it in a declaration, as the specification has it.
URIS = ["urn:1", "urn:2", "http://u.example/"]
TEXTS = ["x", " ", "\n", "&amp;", "&lt;&gt;", "&#13;", "&#9;", "\t", "\r\n", "\u00fc\u20ac\U0001f600",
         "<![CDATA[<&>]]>", "'", '"', "&quot;&apos;", "]] >"]


def element(dice, scope, depth, mark):
    """Text of an element in which each prefix that is used is in scope; one is marked ID="t"."""
    declared = {}
    for prefix in PREFIXES:
        if dice.random() < 0.3:
            declared[prefix] = dice.choice(URIS + [""] if prefix == "" else URIS)
    scope = {**scope, **declared}
    usable = [prefix for prefix in scope if prefix]
    prefix = dice.choice(usable + [""])
    name = f"{prefix}:e" if prefix else dice.choice(["e", "f"])
    parts = [f'xmlns{":" if prefix else ""}{prefix}="{uri}"' for prefix, uri in declared.items()]
    attributes = {}
    for local in dice.sample(["z", "y", "x", "B"], dice.randrange(4)):
        prefix = dice.choice(usable + ["", "", "xml"])
        value = "".join(t for t in dice.choices(TEXTS, k=3) if "<" not in t and '"' not in t)
        attributes[(scope.get(prefix, prefix) if prefix else None, local)] = (
            f'{prefix}{":" if prefix else ""}{local}="{value}"'
        )
    parts += attributes.values()
    if depth == mark:
        parts.append('ID="t"')
    dice.shuffle(parts)
    inner = "".join(dice.choices(TEXTS, k=dice.randrange(3)))
    if depth < 3:
        below = [element(dice, scope, depth + 1, mark)]
        if dice.random() < 0.6:
            below.append(element(dice, scope, depth + 1, -1))
        inner = inner.join(["", *below, ""])
    tag = " ".join([name, *parts])
    return f"<{tag}/>" if not inner else f"<{tag}>{inner}</{name}\n>"


def canonical_forms():
    dice = random.Random(20270115)
    cases = []
    while len(cases) < 40:
        xml = element(dice, {}, 0, dice.randrange(3))
        prefixes = dice.choice([[], [], ["a"], ["a", "b", "saml", "unknown"]])
        root = etree.fromstring(xml.encode())
        (target,) = root.xpath('//*[@ID="t"]')
        canonical = etree.tostring(
            target, method="c14n", exclusive=True, with_comments=False,
            inclusive_ns_prefixes=prefixes, with_tail=False,
        )
        cases.append({"xml": xml, "prefixes": prefixes, "canonical": canonical.decode()})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / "canonical.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    signed_files()
    canonical_forms()
