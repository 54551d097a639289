//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in that line, counted from 1.
    pub column: usize,
    /// What is wrong, in a sentence without an end.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The problems of one text.
pub struct Problems<'i> {
    text: &'i str,
    found: Vec<Problem>,
}

impl<'i> Problems<'i> {
    /// None yet.
    pub const fn of(text: &'i str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    /// One more, which begins where `span` does.
    pub fn add(&mut self, span: &Range<usize>, message: impl fmt::Display) {
        let (line, column) = self.place(span.start);
        self.found.push(Problem {
            line,
            column,
            message: message.to_string(),
        });
    }

    /// The line of a byte.
    pub fn line(&self, at: usize) -> usize {
        self.place(at).0
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order of the text.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        self.found
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let mut end = at.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        (
            before.matches('\n').count() + 1,
            in_line.chars().count() + 1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let mut problems = Problems::of("a\nkö = 1\n\nx");
        for at in [5, 0, 2, 10, 11, 99, 4] {
            problems.add(&(at..at), "here");
        }
        let places: Vec<(usize, usize)> = problems
            .sorted()
            .iter()
            .map(|it| (it.line, it.column))
            .collect();
        assert_eq!(
            places,
            [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1), (4, 2)]
        );
    }
}
