//! Entry bundles (C2SP tlog-tiles, "Log entries"): entries one after another, each behind its length in bytes as a
//! big-endian `u16`. Nothing says how many there are; the name of the bundle does ([`super::path`]).

use super::MAX_ENTRY_BYTES;

/// The bundle of these entries; `None` if one is longer than [`MAX_ENTRY_BYTES`].
#[must_use]
pub fn encode<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bundle = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).ok()?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Some(bundle)
}

/// The entries of a bundle; `None` if it ends within one.
#[must_use]
pub fn decode(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

const _: () = assert!(MAX_ENTRY_BYTES == u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let entries: [&[u8]; 3] = [b"{}", b"", br#"{"index":1}"#];
        let bundle = encode(entries).expect("short entries");
        assert_eq!(bundle, b"\x00\x02{}\x00\x00\x00\x0b{\"index\":1}");
        assert_eq!(decode(&bundle), Some(entries.to_vec()));
    }

    #[test]
    fn the_longest_entry_fits_and_a_longer_one_does_not() {
        let long = vec![b'x'; MAX_ENTRY_BYTES];
        let bundle = encode([long.as_slice()]).expect("fits");
        assert_eq!(decode(&bundle), Some(vec![long.as_slice()]));
        assert_eq!(encode([vec![b'x'; MAX_ENTRY_BYTES + 1].as_slice()]), None);
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_the_whole_and_is_encoded_the_same(bytes: Vec<u8>) {
            if let Some(entries) = decode(&bytes) {
                prop_assert_eq!(encode(entries), Some(bytes));
            }
        }

        #[test]
        fn a_bundle_that_is_cut_is_none_or_fewer_entries(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8), cut: prop::sample::Index) {
            let bundle = encode(entries.iter().map(Vec::as_slice)).expect("short entries");
            let cut = decode(&bundle[..cut.index(bundle.len())]);
            prop_assert!(cut.is_none_or(|fewer| fewer.len() < entries.len()));
        }
    }
}
