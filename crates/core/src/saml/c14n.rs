//! Exclusive XML Canonicalization 1.0 without comments (W3C, 18 July 2002): the bytes of an element
//! that are hashed and signed.
//!
//! In scope: an element with all it contains, less at most one child (the signature that is about it),
//! and the prefixes of an `InclusiveNamespaces`. Two elements of the same bytes are the same to whoever
//! reads names, attributes and text: the rest is left out, and each name comes with its namespace. The
//! parser does not keep the prefixes of names, so they are read from the text; a name for which that
//! does not lead to what the parser found is refused.
//!
//! Out of scope: other subsets of a document, comments, processing instructions.

use super::SamlError;
use roxmltree::{Node, NodeId};
use std::collections::BTreeMap;
use std::ops::Range;

/// The prefix that is bound without being declared.
const XML: &str = "xml";

/// The canonical form of `element` less its child `without`. The prefixes in `inclusive` are declared
/// where they are in scope, used or not; `#default` stands for the default namespace.
pub(super) fn canonical(
    element: Node<'_, '_>,
    without: Option<NodeId>,
    inclusive: &[&str],
) -> Result<String, SamlError> {
    let mut writer = Writer {
        out: String::new(),
        without,
        inclusive,
        declared: Vec::new(),
    };
    writer.node(element)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    without: Option<NodeId>,
    inclusive: &'a [&'a str],
    /// What the open elements declared, innermost last: prefix and namespace.
    declared: Vec<(&'a str, &'a str)>,
}

impl<'a> Writer<'a> {
    fn node(&mut self, node: Node<'a, 'a>) -> Result<(), SamlError> {
        if Some(node.id()) == self.without {
            return Ok(());
        }
        if node.is_element() {
            return self.element(node);
        }
        let text = node.text().filter(|_| node.is_text());
        escape(&mut self.out, text.ok_or(SamlError::Markup)?, Place::Text);
        Ok(())
    }

    fn element(&mut self, element: Node<'a, 'a>) -> Result<(), SamlError> {
        let start = element.range().start + 1;
        let name = source(element, start..element.range().end)?;
        let name = name.split([' ', '\t', '\r', '\n', '/', '>']).next();
        let name = Name::new(name.unwrap_or_default());
        if name.local != element.tag_name().name() {
            return Err(SamlError::Malformed);
        }

        let mut attributes = Vec::new();
        for attribute in element.attributes() {
            let name = Name::new(source(element, attribute.range_qname())?);
            if name.local != attribute.name() {
                return Err(SamlError::Malformed);
            }
            let namespace = attribute.namespace().unwrap_or_default();
            attributes.push((namespace, name, attribute.value()));
        }
        attributes.sort_by_key(|(namespace, name, _)| (*namespace, name.local));

        let outer = self.declared.len();
        self.out.push('<');
        self.out.push_str(name.whole);
        self.namespaces(element, name, &attributes)?;
        for (_, name, value) in attributes {
            self.attribute(name.whole, value);
        }
        self.out.push('>');
        for child in element.children() {
            self.node(child)?;
        }
        self.out.push_str("</");
        self.out.push_str(name.whole);
        self.out.push('>');
        self.declared.truncate(outer);
        Ok(())
    }

    /// Declares what this element makes use of and what is to be declared anyway, unless an open
    /// element has declared the same.
    fn namespaces(
        &mut self,
        element: Node<'a, 'a>,
        name: Name<'a>,
        attributes: &[(&'a str, Name<'a>, &'a str)],
    ) -> Result<(), SamlError> {
        let namespace = element.tag_name().namespace().unwrap_or_default();
        let of_attributes = attributes.iter().map(|(uri, name, _)| (name.prefix, *uri));
        let mut used = BTreeMap::from([(name.prefix, namespace)]);
        used.extend(of_attributes.filter(|(prefix, _)| !prefix.is_empty()));
        for (prefix, uri) in &used {
            if in_scope(element, prefix) != Some(*uri) {
                return Err(SamlError::Malformed);
            }
        }
        for prefix in self.inclusive {
            let prefix = if *prefix == "#default" { "" } else { *prefix };
            if let Some(uri) = in_scope(element, prefix) {
                used.insert(prefix, uri);
            }
        }
        used.remove(XML);
        for (prefix, uri) in used {
            let mut open = self.declared.iter().rev();
            let declared = open.find(|(other, _)| *other == prefix);
            if declared.map_or("", |(_, uri)| *uri) == uri {
                continue;
            }
            self.declared.push((prefix, uri));
            if prefix.is_empty() {
                self.attribute("xmlns", uri);
            } else {
                self.attribute(&format!("xmlns:{prefix}"), uri);
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(&mut self.out, value, Place::Attribute);
        self.out.push('"');
    }
}

/// A name as it is written.
#[derive(Clone, Copy)]
struct Name<'a> {
    whole: &'a str,
    prefix: &'a str,
    local: &'a str,
}

impl<'a> Name<'a> {
    fn new(whole: &'a str) -> Self {
        let (prefix, local) = whole.split_once(':').unwrap_or(("", whole));
        Self {
            whole,
            prefix,
            local,
        }
    }
}

fn source<'a>(element: Node<'a, 'a>, range: Range<usize>) -> Result<&'a str, SamlError> {
    let text = element.document().input_text();
    text.get(range).ok_or(SamlError::Malformed)
}

/// The namespace of a prefix; the default one is empty where there is none.
fn in_scope<'a>(element: Node<'a, 'a>, prefix: &str) -> Option<&'a str> {
    match prefix {
        "" => Some(element.default_namespace().unwrap_or_default()),
        XML => Some(roxmltree::NS_XML_URI),
        _ => element.lookup_namespace_uri(Some(prefix)),
    }
}

/// Where a text stands, which says what has to be escaped in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Text,
    Attribute,
}

/// Writes `text` so that it reads back as it is.
pub(super) fn escape(out: &mut String, text: &str, place: Place) {
    let attribute = place == Place::Attribute;
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' if !attribute => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            '"' if attribute => out.push_str("&quot;"),
            '\t' if attribute => out.push_str("&#x9;"),
            '\n' if attribute => out.push_str("&#xA;"),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::CANONICAL;
    use super::*;
    use proptest::prelude::*;
    use roxmltree::Document;
    use serde_json::Value;

    fn of(xml: &str, id: &str, inclusive: &[&str]) -> String {
        let document = Document::parse(xml).expect("XML");
        let mut all = document.descendants();
        let found = all.find(|node| node.attribute("ID") == Some(id));
        canonical(found.expect("an element"), None, inclusive).expect("canonical")
    }

    /// Documents that a generator made up, and what libxml2 makes of one element of each.
    #[test]
    fn another_implementation_gives_the_same_bytes() {
        let cases: Vec<Value> = serde_json::from_str(CANONICAL).expect("JSON");
        assert_eq!(cases.len(), 40);
        for case in cases {
            let text = |name: &str| case[name].as_str().expect("text");
            let prefixes = case["prefixes"].as_array().expect("a list");
            let prefixes: Vec<_> = prefixes.iter().filter_map(Value::as_str).collect();
            assert_eq!(of(text("xml"), "t", &prefixes), text("canonical"));
        }
    }

    #[test]
    fn only_namespaces_in_use_are_declared_and_each_where_it_is_first_used() {
        let xml = "<r xmlns='urn:d' xmlns:a='urn:a' xmlns:b='urn:b'>\
            <a:t ID='t'><a:u b:x='1'/><v/><w xmlns=''/></a:t></r>";
        assert_eq!(
            of(xml, "t", &[]),
            "<a:t xmlns:a=\"urn:a\" ID=\"t\"><a:u xmlns:b=\"urn:b\" b:x=\"1\"></a:u>\
             <v xmlns=\"urn:d\"></v><w></w></a:t>"
        );
        assert_eq!(
            of(xml, "t", &["b", "#default", "c"]),
            "<a:t xmlns=\"urn:d\" xmlns:a=\"urn:a\" xmlns:b=\"urn:b\" ID=\"t\">\
             <a:u b:x=\"1\"></a:u><v></v><w xmlns=\"\"></w></a:t>"
        );
    }

    #[test]
    fn attributes_are_sorted_by_namespace_and_text_is_escaped() {
        let xml = "<t ID='t' xmlns:z='urn:1' xmlns:a='urn:2' a:b='1' z:b='2' c='\"&#9;&#10;&#13;&lt;>'>\
            &lt;&gt;&amp;\"'&#13;<![CDATA[<]]></t>";
        assert_eq!(
            of(xml, "t", &[]),
            "<t xmlns:a=\"urn:2\" xmlns:z=\"urn:1\" ID=\"t\" c=\"&quot;&#x9;&#xA;&#xD;&lt;>\" \
             z:b=\"2\" a:b=\"1\">&lt;&gt;&amp;\"'&#xD;&lt;</t>"
        );
    }

    #[test]
    fn comments_and_processing_instructions_have_no_canonical_form_here() {
        for xml in ["<t ID='t'><!-- c --></t>", "<t ID='t'><?p i?></t>"] {
            let document = Document::parse(xml).expect("XML");
            let refused = canonical(document.root_element(), None, &[]);
            assert_eq!(refused, Err(SamlError::Markup));
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(
            text in "[ -~\t\r\n\u{e9}]{0,20}",
            value in "[ -~\t\r\n\u{e9}]{0,20}",
        ) {
            let mut xml = String::from("<a:t xmlns:a='urn:a' ID='t' b=\"");
            escape(&mut xml, &value, Place::Attribute);
            xml.push_str("\"><u xmlns='urn:u'>");
            escape(&mut xml, &text, Place::Text);
            xml.push_str("</u></a:t>");
            let once = of(&xml, "t", &[]);
            prop_assert_eq!(of(&once, "t", &[]), once);
        }
    }
}
