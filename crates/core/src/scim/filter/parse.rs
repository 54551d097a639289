//! The parser: recursive descent over the text, one function per line of the grammar.

use super::super::ScimError;
use super::super::path::{AttrPath, is_in_name, is_name};
use super::{Comparison, Filter, Literal};

/// The longest filter.
pub const MAX_FILTER_BYTES: usize = 4096;
/// How deep parentheses and brackets may be.
pub const MAX_DEPTH: u32 = 20;
/// The most expressions.
pub const MAX_NODES: u32 = 100;

type Parsed<T> = Result<T, ScimError>;

/// Reads a filter and nothing behind it.
pub(super) fn parse(text: &str) -> Parsed<Filter> {
    if text.len() > MAX_FILTER_BYTES {
        return refused("it is too long");
    }
    let mut parser = Parser::new(text);
    let filter = parser.disjunction(0)?;
    parser.skip_spaces();
    if parser.rest.is_empty() {
        Ok(filter)
    } else {
        refused("something stands behind its end")
    }
}

/// Reads the filter in brackets of a path, up to and with its closing bracket, and gives back what
/// stands behind.
pub fn parse_within(text: &str) -> Parsed<(Filter, &str)> {
    if text.len() > MAX_FILTER_BYTES {
        return refused("it is too long");
    }
    let mut parser = Parser::new(text);
    parser.within = true;
    let filter = parser.disjunction(1)?;
    parser.expect(']')?;
    Ok((filter, parser.rest))
}

fn refused<T>(why: &str) -> Parsed<T> {
    Err(ScimError::FilterRefused(why.to_owned()))
}

struct Parser<'t> {
    rest: &'t str,
    nodes: u32,
    /// In brackets: plain names of sub-attributes only.
    within: bool,
}

impl<'t> Parser<'t> {
    const fn new(text: &'t str) -> Self {
        Self {
            rest: text,
            nodes: 0,
            within: false,
        }
    }

    fn disjunction(&mut self, depth: u32) -> Parsed<Filter> {
        let mut of = vec![self.conjunction(depth)?];
        while self.keyword("or") {
            of.push(self.conjunction(depth)?);
        }
        Ok(Filter::any(of))
    }

    fn conjunction(&mut self, depth: u32) -> Parsed<Filter> {
        let mut of = vec![self.operand(depth)?];
        while self.keyword("and") {
            of.push(self.operand(depth)?);
        }
        Ok(Filter::all(of))
    }

    fn operand(&mut self, depth: u32) -> Parsed<Filter> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return refused("it is too deep, or has too many expressions");
        }
        self.skip_spaces();
        if self.rest.starts_with('(') {
            return self.grouped(depth);
        }
        let word = self.word();
        if word.eq_ignore_ascii_case("not") && self.rest.trim_start().starts_with('(') {
            return Ok(Filter::Not(Box::new(self.grouped(depth)?)));
        }
        self.expression(word, depth)
    }

    fn grouped(&mut self, depth: u32) -> Parsed<Filter> {
        self.expect('(')?;
        let inner = self.disjunction(depth + 1)?;
        self.expect(')')?;
        Ok(inner)
    }

    fn expression(&mut self, word: &str, depth: u32) -> Parsed<Filter> {
        let Some(path) = AttrPath::parse(word) else {
            return refused("an attribute is expected");
        };
        if self.within && (path.urn.is_some() || path.sub.is_some()) {
            return refused("in brackets only names of sub-attributes may stand");
        }
        if self.rest.starts_with('[') {
            return self.value_path(path, depth);
        }
        if !self.skip_spaces() {
            return refused("an operator is expected");
        }
        let operator = self.word();
        if operator.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let comparison = self.comparison(operator)?;
        Ok(Filter::Compare(path, comparison, self.literal()?))
    }

    fn value_path(&mut self, path: AttrPath, depth: u32) -> Parsed<Filter> {
        if self.within || path.sub.is_some() {
            return refused("brackets may not stand there");
        }
        self.expect('[')?;
        self.within = true;
        let inner = self.disjunction(depth + 1)?;
        self.expect(']')?;
        let inner = match self.rest.strip_prefix('.') {
            // The same value must be both such and so.
            Some(rest) => {
                self.rest = rest;
                let word = self.word();
                if !is_name(word) {
                    return refused("a sub-attribute is expected");
                }
                Filter::all(vec![inner, self.expression(word, depth)?])
            }
            None => inner,
        };
        self.within = false;
        Ok(Filter::Within(path, Box::new(inner)))
    }

    fn comparison(&mut self, operator: &str) -> Parsed<Comparison> {
        let known = Comparison::ALL
            .into_iter()
            .find(|one| one.as_str().eq_ignore_ascii_case(operator));
        match known {
            Some(comparison) if self.skip_spaces() => Ok(comparison),
            Some(_) => refused("a value is expected"),
            None => refused("an operator is unknown"),
        }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let end = if self.rest.starts_with('"') {
            text_end(self.rest)
        } else {
            self.rest.find([' ', '\t', ')', ']'])
        };
        let (literal, rest) = self
            .rest
            .split_at_checked(end.unwrap_or(self.rest.len()))
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        // JSON has these in lower case; a provider sends `True`.
        for (word, value) in [
            ("true", Literal::Boolean(true)),
            ("false", Literal::Boolean(false)),
            ("null", Literal::Null),
        ] {
            if literal.eq_ignore_ascii_case(word) {
                return Ok(value);
            }
        }
        // Spaces that JSON would skip are no part of a value.
        match serde_json::from_str(literal) {
            Ok(serde_json::Value::String(text)) if literal.starts_with('"') => {
                Ok(Literal::Text(text))
            }
            Ok(serde_json::Value::Number(_)) if !literal.contains(char::is_whitespace) => {
                Ok(Literal::Number(literal.to_owned()))
            }
            _ => refused("a value is no JSON text, number, truth value or null"),
        }
    }

    /// Takes a keyword that stands between spaces, if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.rest;
        if self.skip_spaces()
            && self.word().eq_ignore_ascii_case(keyword)
            && self.rest.starts_with([' ', '\t', '('])
        {
            return true;
        }
        self.rest = before;
        false
    }

    /// The characters of a path or an operator that come next.
    fn word(&mut self) -> &'t str {
        let is_part = |c: char| is_in_name(c) || ":.$/%+".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    fn expect(&mut self, c: char) -> Parsed<()> {
        self.skip_spaces();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => refused(&format!("a {c} is expected")),
        }
    }

    /// Whether there were any.
    fn skip_spaces(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t']);
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }
}

/// Where a JSON text ends: behind the quote that is not escaped.
fn text_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
