//! XML within bounds: what every message is before anything in it is looked at.
//!
//! The parser knows no external entities and refuses a DTD, so there are no entities to expand. What
//! it is given is bounded beforehand, for the time it takes grows with the square of the attributes of
//! an element, and with the square of the prefixes in scope for each element that declares one. The
//! bounds count in the text, and so may count too much: they are far above what providers send.

use super::{ASSERTION_NS, MAX_RESPONSE_BYTES, SamlError};
use roxmltree::{Error, Node, ParsingOptions};
use std::collections::BTreeSet;

/// The most nodes (elements and texts).
const MAX_NODES: u32 = 20_000;
/// How deep elements nest.
const MAX_DEPTH: usize = 48;
/// The most attributes of an element. Counted as `=` between two `<`, so the text after it counts, too.
const MAX_EQUALS: usize = 256;
/// The most declarations of namespaces.
const MAX_DECLARATIONS: usize = 2048;
/// The most prefixes that are declared, and so the most that are in scope anywhere.
const MAX_PREFIXES: usize = 32;
/// The longest prefix, with the `xmlns:` before it.
const MAX_PREFIX_BYTES: usize = 64;

/// The attributes that name an element, in the specifications that meet here.
const IDS: [&str; 4] = ["ID", "Id", "id", "AssertionID"];
const ENCRYPTED: [&str; 3] = ["EncryptedAssertion", "EncryptedID", "EncryptedAttribute"];

/// XML without comments, processing instructions and DTD, in which each ID names one element and
/// nothing is encrypted.
#[derive(Debug)]
pub(super) struct Document<'a>(roxmltree::Document<'a>);

impl<'a> Document<'a> {
    pub(super) fn parse(xml: &'a str) -> Result<Self, SamlError> {
        within_bounds(xml)?;
        let options = ParsingOptions {
            allow_dtd: false,
            nodes_limit: MAX_NODES,
            ..ParsingOptions::default()
        };
        let parsed = roxmltree::Document::parse_with_options(xml, options);
        let document = parsed.map_err(|error| match error {
            Error::DtdDetected => SamlError::Markup,
            Error::NodesLimitReached | Error::AttributesLimitReached => SamlError::TooLarge,
            _ => SamlError::Malformed,
        })?;
        let mut ids = BTreeSet::new();
        check(document.root(), 0, &mut ids)?;
        Ok(Self(document))
    }

    pub(super) fn root(&self) -> Node<'_, 'a> {
        self.0.root_element()
    }

    /// All elements of that name, at any depth.
    pub(super) fn all<'s>(
        &'s self,
        namespace: &'s str,
        name: &'s str,
    ) -> impl Iterator<Item = Node<'s, 'a>> {
        let elements = self.0.descendants();
        elements.filter(move |node| is(*node, namespace, name))
    }
}

fn within_bounds(xml: &str) -> Result<(), SamlError> {
    let equals = |part: &str| part.bytes().filter(|byte| *byte == b'=').count();
    if xml.len() > MAX_RESPONSE_BYTES
        || xml.matches("xmlns").nth(MAX_DECLARATIONS).is_some()
        || xml.split('<').any(|part| equals(part) > MAX_EQUALS)
    {
        return Err(SamlError::TooLarge);
    }
    let mut prefixes = BTreeSet::new();
    for (at, _) in xml.match_indices("xmlns:") {
        let rest = xml.as_bytes().get(at..).unwrap_or_default();
        let mut words = rest.split(|byte| b" \t\r\n=".contains(byte));
        let declared = words.next().unwrap_or_default();
        prefixes.insert(declared);
        if declared.len() > MAX_PREFIX_BYTES || prefixes.len() > MAX_PREFIXES {
            return Err(SamlError::TooLarge);
        }
    }
    Ok(())
}

fn check<'a>(
    node: Node<'a, '_>,
    depth: usize,
    ids: &mut BTreeSet<&'a str>,
) -> Result<(), SamlError> {
    if node.is_comment() || node.is_pi() {
        return Err(SamlError::Markup);
    }
    if depth > MAX_DEPTH {
        return Err(SamlError::TooLarge);
    }
    if ENCRYPTED.iter().any(|name| is(node, ASSERTION_NS, name)) {
        return Err(SamlError::Encrypted);
    }
    let mut named = node.attributes().filter(|it| IDS.contains(&it.name()));
    if !named.all(|attribute| ids.insert(attribute.value())) {
        return Err(SamlError::DuplicateId);
    }
    node.children()
        .try_for_each(|child| check(child, depth + 1, ids))
}

/// Whether `node` is an element of that name.
pub(super) fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    let tag = node.tag_name();
    node.is_element() && tag.namespace() == Some(namespace) && tag.name() == name
}

/// The attribute of that name and of no namespace.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let mut attributes = node.attributes();
    attributes
        .find(|it| it.namespace().is_none() && it.name() == name)
        .map(|it| it.value())
}

/// The children of that name.
pub(super) fn children<'a, 'i, 'n>(
    node: Node<'a, 'i>,
    namespace: &'n str,
    name: &'n str,
) -> impl Iterator<Item = Node<'a, 'i>> + use<'a, 'i, 'n> {
    node.children()
        .filter(move |child| is(*child, namespace, name))
}

/// The one child of that name: `None` if there is none, an error if there are more.
pub(super) fn child<'a, 'i>(
    node: Node<'a, 'i>,
    namespace: &str,
    name: &str,
) -> Result<Option<Node<'a, 'i>>, SamlError> {
    let mut found = children(node, namespace, name);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(SamlError::Malformed),
    }
}

/// The whole text of an element that has nothing else in it.
pub(super) fn text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let mut children = node.children();
    match (children.next(), children.next()) {
        (None, _) => Some(""),
        (Some(only), None) if only.is_text() => only.text(),
        _ => None,
    }
}

/// White space of XML, which surrounds a value of type `anyURI` without being part of it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(xml: &str) -> Option<SamlError> {
        Document::parse(xml).err()
    }

    #[test]
    fn a_document_type_is_refused_with_all_that_it_could_declare() {
        for declared in [
            "",
            "[<!ENTITY x SYSTEM 'file:///etc/passwd'>]",
            "[<!ENTITY a 'ha'><!ENTITY b '&a;&a;'><!ENTITY c '&b;&b;'>]",
            "SYSTEM 'http://a.example/x.dtd'",
        ] {
            let xml = format!("<?xml version=\"1.0\"?><!DOCTYPE r {declared}><r>&c;</r>");
            assert_eq!(refusal(&xml), Some(SamlError::Markup), "{xml}");
        }
        assert_eq!(refusal("<r>&x;</r>"), Some(SamlError::Malformed));
        assert_eq!(refusal("<r a='&x;'/>"), Some(SamlError::Malformed));
        assert_eq!(refusal("<r>&lt;&amp;&#65;</r>"), None);
    }

    #[test]
    fn comments_and_processing_instructions_are_refused_wherever_they_are() {
        for xml in [
            "<!-- c --><r/>",
            "<r/><!-- c -->",
            "<r>a<!-- c -->b</r>",
            "<r><?p i?></r>",
            "<?p i?><r/>",
        ] {
            assert_eq!(refusal(xml), Some(SamlError::Markup), "{xml}");
        }
    }

    #[test]
    fn two_elements_of_one_id_are_refused_however_the_attribute_is_spelt() {
        for xml in [
            "<r ID='a'><s ID='a'/></r>",
            "<r ID='a'><s Id='a'/></r>",
            "<r ID='a'><s><t id='a'/></s></r>",
            "<r ID='a'><s xml:id='a'/></r>",
            "<r ID='a' xmlns:w='urn:w'><s w:Id='a'/></r>",
        ] {
            assert_eq!(refusal(xml), Some(SamlError::DuplicateId), "{xml}");
        }
        assert_eq!(refusal("<r ID='a'><s ID='b'/></r>"), None);
    }

    #[test]
    fn what_is_encrypted_is_refused() {
        for name in ENCRYPTED {
            let xml = format!("<r><a:{name} xmlns:a='{ASSERTION_NS}'/></r>");
            assert_eq!(refusal(&xml), Some(SamlError::Encrypted), "{xml}");
        }
    }

    #[test]
    fn size_depth_nodes_attributes_and_namespaces_are_bounded() {
        let nested = |n: usize| format!("{}{}", "<r>".repeat(n), "</r>".repeat(n));
        let attributes = |n: usize| {
            let each: Vec<String> = (0..n).map(|i| format!("a{i}=''")).collect();
            format!("<r {}/>", each.join(" "))
        };
        let many = |n: usize| format!("<r>{}</r>", "<s/>".repeat(n));
        let declared = |n: usize| format!("<r>{}</r>", "<s xmlns='u'/>".repeat(n));
        let prefixes = |n: usize| {
            let each: Vec<String> = (0..n).map(|i| format!("<s xmlns:a{i} = 'u'/>")).collect();
            format!("<r>{}</r>", each.concat())
        };
        // No prefix repeats, though the parts of each do.
        let hidden = || {
            let names = (0..81).map(|i| format!("<s xmlns:a{}xmlns{}='u'/>", i / 9, i % 9));
            format!("<r>{}</r>", names.collect::<String>())
        };
        assert_eq!(refusal(&nested(MAX_DEPTH)), None);
        assert_eq!(refusal(&attributes(MAX_EQUALS)), None);
        assert_eq!(refusal(&declared(MAX_DECLARATIONS)), None);
        assert_eq!(refusal(&prefixes(MAX_PREFIXES)), None);
        for xml in [
            nested(MAX_DEPTH + 1),
            nested(30_000),
            attributes(MAX_EQUALS + 1),
            many(MAX_NODES as usize),
            declared(MAX_DECLARATIONS + 1),
            prefixes(MAX_PREFIXES + 1),
            format!("<r xmlns:{}='u'/>", "a".repeat(MAX_PREFIX_BYTES)),
            hidden(),
            format!("<r>{}</r>", "a".repeat(MAX_RESPONSE_BYTES)),
        ] {
            assert_eq!(refusal(&xml), Some(SamlError::TooLarge), "{xml:.20}");
        }
    }

    #[test]
    fn text_is_whole_or_none() {
        let document = Document::parse("<r><a/><b>x<![CDATA[<y>]]>z</b><c>x<d/></c></r>");
        let document = document.expect("a document");
        let texts: Vec<_> = document.root().children().map(text).collect();
        assert_eq!(texts, [Some(""), Some("x<y>z"), None]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(xml in "[<>/=a:' &;!?\\[\\]-]{0,60}") {
            let _ = Document::parse(&xml);
        }
    }
}
