//! A file that lies in parts, and what somebody wants of it: one range at most (RFC 9110 section 14).

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    Whole,
    /// The bytes from `first` to below `end`.
    Part {
        /// The first byte.
        first: u64,
        /// The one behind the last.
        end: u64,
    },
    /// There is no such range in it.
    None,
}

/// What a `Range` header asks of a file of that length. What cannot be read, or asks for several ranges, asks for
/// nothing in particular (section 14.2).
#[must_use]
pub fn portion(range: Option<&str>, length: u64) -> Portion {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Portion::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Portion::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => (first, length),
        (None, Some(suffix)) if first.is_empty() => (length - suffix.min(length), length),
        _ => return Portion::Whole,
    };
    if first < end {
        Portion::Part { first, end }
    } else {
        Portion::None
    }
}

/// A piece of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which part.
    pub number: u64,
    /// Its first byte that is meant.
    pub offset: u64,
    /// How many bytes are.
    pub length: u64,
}

/// The pieces that are the bytes from `first` to below `end` of a file that is made of these parts (number, length).
#[must_use]
pub fn pieces(parts: &[(u64, u64)], first: u64, end: u64) -> Vec<Piece> {
    let mut at = 0;
    let mut pieces = Vec::new();
    for (number, length) in parts {
        let (from, to) = (first.max(at), end.min(at + length));
        if from < to {
            pieces.push(Piece {
                number: *number,
                offset: from - at,
                length: to - from,
            });
        }
        at += length;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        let part = |first, end| Portion::Part { first, end };
        let cases = [
            ("bytes=0-499", part(0, 500)),
            ("bytes=500-", part(500, 1000)),
            ("bytes=-1", part(999, 1000)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=999-99999999999999999999999", part(999, 1000)),
            ("bytes=1000-", Portion::None),
            ("bytes=-0", Portion::None),
            ("bytes=5-4", Portion::Whole),
            ("bytes=0-1,3-4", Portion::Whole),
            ("lines=0-1", Portion::Whole),
            ("bytes=-", Portion::Whole),
            ("bytes=+1-2", Portion::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(portion(Some(range), 1000), expected, "{range}");
        }
        assert_eq!(portion(None, 1000), Portion::Whole);
        assert_eq!(portion(Some("bytes=0-"), 0), Portion::None);
    }

    proptest! {
        #[test]
        fn pieces_are_the_bytes_that_were_asked_for(lengths in prop::collection::vec(0u64..9, 0..9), a in 0u64..80, b in 0u64..80) {
            let parts: Vec<(u64, u64)> = (5..).zip(lengths).collect();
            let whole: Vec<(u64, u64)> = parts.iter().flat_map(|(n, length)| (0..*length).map(move |at| (*n, at))).collect();
            let (first, end) = (a.min(b), a.max(b).min(whole.len() as u64));
            let found: Vec<(u64, u64)> = pieces(&parts, first, end).iter()
                .flat_map(|piece| (piece.offset..piece.offset + piece.length).map(|at| (piece.number, at)))
                .collect();
            let wanted: Vec<_> = whole.into_iter().enumerate()
                .filter(|(at, _)| (first..end).contains(&(*at as u64))).map(|(_, byte)| byte).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn a_portion_lies_within_the_file(range: String, length in 0u64..1000) {
            for range in [range.clone(), format!("bytes={range}")] {
                if let Portion::Part { first, end } = portion(Some(&range), length) {
                    prop_assert!(first < end && end <= length);
                }
            }
        }
    }
}
