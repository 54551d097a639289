//! Leaf hashes of four entries at a time: SHA-256 of `0x00` and the entry (RFC 6962 section 2.1).
//!
//! What makes exports hashes each line of them, and in wasm there are no instructions for SHA-256. There the four are
//! hashed side by side, one in each lane of a vector, in a third of the time; elsewhere one after another, by the
//! processor's instructions. Both are the same hashes: the tests compare what wasm does with what else does it.
//!
//! Out of scope: files' digests, which are one after another by their nature.

use super::Hash;

/// The leaf hashes of four entries.
#[must_use]
pub fn leaf_hashes(entries: [&[u8]; 4]) -> [Hash; 4] {
    #[cfg(target_arch = "wasm32")]
    return side_by_side(entries);
    #[cfg(not(target_arch = "wasm32"))]
    entries.map(super::leaf_hash)
}

/// A word of each of the four.
#[cfg(target_arch = "wasm32")]
mod words {
    pub use core::arch::wasm32::v128 as Words;
    use core::arch::wasm32::{
        u32x4, u32x4_add, u32x4_extract_lane, u32x4_shl, u32x4_shr, u32x4_splat, v128_and, v128_or,
        v128_xor,
    };

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn of(words: [u32; 4]) -> Words {
        let [a, b, c, d] = words;
        u32x4(a, b, c, d)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn all(word: u32) -> Words {
        u32x4_splat(word)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn each(words: Words) -> [u32; 4] {
        [
            u32x4_extract_lane::<0>(words),
            u32x4_extract_lane::<1>(words),
            u32x4_extract_lane::<2>(words),
            u32x4_extract_lane::<3>(words),
        ]
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn add(a: Words, b: Words) -> Words {
        u32x4_add(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn and(a: Words, b: Words) -> Words {
        v128_and(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn xor(a: Words, b: Words) -> Words {
        v128_xor(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn shifted(word: Words, by: u32) -> Words {
        u32x4_shr(word, by)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn rotated(word: Words, by: u32) -> Words {
        v128_or(u32x4_shr(word, by), u32x4_shl(word, 32 - by))
    }
}

/// The same without vectors, to be tested on any machine.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod words {
    use std::array::from_fn;

    pub type Words = [u32; 4];

    pub const fn of(words: [u32; 4]) -> Words {
        words
    }

    pub const fn all(word: u32) -> Words {
        [word; 4]
    }

    pub const fn each(words: Words) -> [u32; 4] {
        words
    }

    pub fn add(a: Words, b: Words) -> Words {
        from_fn(|at| a[at].wrapping_add(b[at]))
    }

    pub fn and(a: Words, b: Words) -> Words {
        from_fn(|at| a[at] & b[at])
    }

    pub fn xor(a: Words, b: Words) -> Words {
        from_fn(|at| a[at] ^ b[at])
    }

    pub fn shifted(word: Words, by: u32) -> Words {
        word.map(|word| word >> by)
    }

    pub fn rotated(word: Words, by: u32) -> Words {
        word.map(|word| word.rotate_right(by))
    }
}

#[cfg(any(test, target_arch = "wasm32"))]
pub use four::side_by_side;

#[cfg(any(test, target_arch = "wasm32"))]
mod four {
    use super::super::{HASH_SIZE, Hash};
    use super::words::{Words, add, all, and, each, of, rotated, shifted, xor};

    /// Bytes in a block.
    const BLOCK: usize = 64;

    /// FIPS 180-4 section 5.3.3.
    const BEGINNING: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    /// FIPS 180-4 section 4.2.2.
    const ROUNDS: [[u32; 16]; 4] = [
        [
            0x428a_2f98,
            0x7137_4491,
            0xb5c0_fbcf,
            0xe9b5_dba5,
            0x3956_c25b,
            0x59f1_11f1,
            0x923f_82a4,
            0xab1c_5ed5,
            0xd807_aa98,
            0x1283_5b01,
            0x2431_85be,
            0x550c_7dc3,
            0x72be_5d74,
            0x80de_b1fe,
            0x9bdc_06a7,
            0xc19b_f174,
        ],
        [
            0xe49b_69c1,
            0xefbe_4786,
            0x0fc1_9dc6,
            0x240c_a1cc,
            0x2de9_2c6f,
            0x4a74_84aa,
            0x5cb0_a9dc,
            0x76f9_88da,
            0x983e_5152,
            0xa831_c66d,
            0xb003_27c8,
            0xbf59_7fc7,
            0xc6e0_0bf3,
            0xd5a7_9147,
            0x06ca_6351,
            0x1429_2967,
        ],
        [
            0x27b7_0a85,
            0x2e1b_2138,
            0x4d2c_6dfc,
            0x5338_0d13,
            0x650a_7354,
            0x766a_0abb,
            0x81c2_c92e,
            0x9272_2c85,
            0xa2bf_e8a1,
            0xa81a_664b,
            0xc24b_8b70,
            0xc76c_51a3,
            0xd192_e819,
            0xd699_0624,
            0xf40e_3585,
            0x106a_a070,
        ],
        [
            0x19a4_c116,
            0x1e37_6c08,
            0x2748_774c,
            0x34b0_bcb5,
            0x391c_0cb3,
            0x4ed8_aa4a,
            0x5b9c_ca4f,
            0x682e_6ff3,
            0x748f_82ee,
            0x78a5_636f,
            0x84c8_7814,
            0x8cc7_0208,
            0x90be_fffa,
            0xa450_6ceb,
            0xbef9_a3f7,
            0xc671_78f2,
        ],
    ];

    /// The four side by side, for as many blocks as the longest has.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    #[expect(
        clippy::redundant_closure,
        reason = "a function that needs a feature is no `Fn`, and a closure in one that has it is"
    )]
    pub fn side_by_side(entries: [&[u8]; 4]) -> [Hash; 4] {
        let blocks = entries.map(blocks_of);
        let mut hashes = [Hash([0; HASH_SIZE]); 4];
        let mut state = BEGINNING.map(|word| all(word));
        let mut made = [[0; BLOCK]; 4];
        let mut words = [[0; 4]; 16];
        for number in 0..blocks.into_iter().max().unwrap_or(0) {
            for (lane, (entry, made)) in entries.iter().zip(&mut made).enumerate() {
                let (quads, _) = block(entry, number, made).as_chunks::<4>();
                for (words, quad) in words.iter_mut().zip(quads) {
                    if let Some(word) = words.get_mut(lane) {
                        *word = u32::from_be_bytes(*quad);
                    }
                }
            }
            compress(&mut state, words.map(|words| of(words)));
            for (lane, (hash, blocks)) in hashes.iter_mut().zip(blocks).enumerate() {
                if number + 1 == blocks {
                    let (quads, _) = hash.0.as_chunks_mut::<4>();
                    for (quad, word) in quads.iter_mut().zip(state) {
                        let words = each(word);
                        *quad = words.get(lane).copied().unwrap_or_default().to_be_bytes();
                    }
                }
            }
        }
        hashes
    }

    /// How many blocks there are of an entry with `0x00` in front, `0x80` and its length behind.
    const fn blocks_of(entry: &[u8]) -> usize {
        (1 + entry.len() + 1 + 8).div_ceil(BLOCK)
    }

    /// A block of that: where it lies, or as it is made. Behind the last it is anything.
    fn block<'a>(entry: &'a [u8], number: usize, made: &'a mut [u8; BLOCK]) -> &'a [u8; BLOCK] {
        // The byte in front has all others one place further.
        let from = (number * BLOCK).checked_sub(1);
        let rest = match from {
            Some(from) => entry.get(from..).unwrap_or_default(),
            None => entry,
        };
        if let (Some(_), Some(block)) = (from, rest.first_chunk::<BLOCK>()) {
            return block;
        }
        *made = [0; BLOCK];
        let bytes = made.iter_mut().skip(usize::from(from.is_none()));
        for (to, byte) in bytes.zip(rest) {
            *to = *byte;
        }
        // Its end is in this block, unless the entry fills it.
        let behind = entry.len() + 1;
        if behind / BLOCK == number
            && let Some(to) = made.get_mut(behind % BLOCK)
        {
            *to = 0x80;
        }
        if number + 1 == blocks_of(entry)
            && let Some(length) = made.last_chunk_mut::<8>()
        {
            *length = (8 * behind as u64).to_be_bytes();
        }
        made
    }

    /// FIPS 180-4 section 6.2.2.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    #[expect(clippy::many_single_char_names, reason = "as the standard has them")]
    fn compress(state: &mut [Words; 8], mut words: [Words; 16]) {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        macro_rules! round {
            ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $word:expr, $round:expr) => {
                let sum = xor(xor(rotated($e, 6), rotated($e, 11)), rotated($e, 25));
                let chosen = xor($g, and($e, xor($f, $g)));
                let first = add(add(add($h, sum), add(chosen, $word)), all($round));
                let sum = xor(xor(rotated($a, 2), rotated($a, 13)), rotated($a, 22));
                let most = xor(and($a, xor($b, $c)), and($b, $c));
                $d = add($d, first);
                $h = add(first, add(sum, most));
            };
        }
        for (number, rounds) in ROUNDS.iter().enumerate() {
            if number > 0 {
                words = scheduled(words);
            }
            let (eights, _) = words.as_chunks::<8>();
            let (rounds, _) = rounds.as_chunks::<8>();
            for ([w0, w1, w2, w3, w4, w5, w6, w7], [k0, k1, k2, k3, k4, k5, k6, k7]) in
                eights.iter().copied().zip(rounds.iter().copied())
            {
                round!(a b c d e f g h, w0, k0);
                round!(h a b c d e f g, w1, k1);
                round!(g h a b c d e f, w2, k2);
                round!(f g h a b c d e, w3, k3);
                round!(e f g h a b c d, w4, k4);
                round!(d e f g h a b c, w5, k5);
                round!(c d e f g h a b, w6, k6);
                round!(b c d e f g h a, w7, k7);
            }
        }
        for (word, more) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = add(*word, more);
        }
    }

    /// The words of the next sixteen rounds.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn scheduled(words: [Words; 16]) -> [Words; 16] {
        let [
            mut w0,
            mut w1,
            mut w2,
            mut w3,
            mut w4,
            mut w5,
            mut w6,
            mut w7,
            mut w8,
            mut w9,
            mut wa,
            mut wb,
            mut wc,
            mut wd,
            mut we,
            mut wf,
        ] = words;
        macro_rules! next {
            ($($word:ident $one:ident $nine:ident $fourteen:ident,)+) => {$(
                let small = xor(xor(rotated($one, 7), rotated($one, 18)), shifted($one, 3));
                let large = xor(xor(rotated($fourteen, 17), rotated($fourteen, 19)), shifted($fourteen, 10));
                $word = add(add($word, small), add($nine, large));
            )+};
        }
        next!(
            w0 w1 w9 we, w1 w2 wa wf, w2 w3 wb w0, w3 w4 wc w1, w4 w5 wd w2, w5 w6 we w3, w6 w7 wf w4, w7 w8 w0 w5,
            w8 w9 w1 w6, w9 wa w2 w7, wa wb w3 w8, wb wc w4 w9, wc wd w5 wa, wd we w6 wb, we wf w7 wc, wf w0 w8 wd,
        );
        [
            w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, wa, wb, wc, wd, we, wf,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaf_hash;
    use super::{leaf_hashes, side_by_side};
    use proptest::prelude::*;

    #[test]
    fn every_length_up_to_four_blocks_is_hashed_as_one_alone_is() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for length in 0..=256 {
            let of = |length: usize| bytes.get(..length).expect("as long");
            let entries = [of(length), of(256 - length), of(length / 2), of(0)];
            assert_eq!(side_by_side(entries), entries.map(leaf_hash), "{length}");
        }
    }

    proptest! {
        #[test]
        fn entries_do_not_mix(entries: [Vec<u8>; 4], more in prop::collection::vec(any::<u8>(), 0..2000)) {
            let [a, b, c, d] = &entries;
            for entries in [[&a[..], b, c, d], [&more[..], b, c, d], [&a[..], b, &more, &more]] {
                prop_assert_eq!(side_by_side(entries), entries.map(leaf_hash));
                prop_assert_eq!(leaf_hashes(entries), entries.map(leaf_hash));
            }
        }
    }
}
