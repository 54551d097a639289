//! What a lane gives to exports: whole lines, in order, and never more than is asked for.

use super::retained;
use super::tree_tests::{entries, lane_of, reckoned};
use portcullis_core::audit::export::source::{Bytes, GetLines, GetSubtrees, Lines};
use portcullis_core::audit::log::edge::Edge;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lines_come_one_behind_another_from_where_they_were_asked_for(
        lines in 1u64..60, a_commit in 1u64..9, a: prop::sample::Index, b: prop::sample::Index, max_bytes in 0u32..6000,
    ) {
        let lane = lane_of(lines, a_commit);
        let all = entries(&lane);
        let (a, b) = (a.index(all.len()) as u64, b.index(all.len()) as u64);
        let (first, end) = (a.min(b), a.max(b) + 1);
        let mut next = first;
        let mut found = Vec::new();
        while next < end {
            let asked = GetLines { first: next, end, max_bytes };
            let answer = lane.lines(asked).expect("answers").expect("a tree");
            let Lines { first: from, lines: Bytes(lines) } = answer.expect("lines");
            prop_assert_eq!(from, next);
            prop_assert!(lines.ends_with(b"\n"));
            next += lines.split(|byte| *byte == b'\n').count() as u64 - 1;
            found.extend(lines);
        }
        prop_assert_eq!(next, end);
        let range = usize::try_from(first).expect("small")..usize::try_from(end).expect("small");
        let expected: Vec<u8> = all[range].iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn subtrees_of_a_part_make_the_root_with_the_rest(lines in 1u64..300, cut: prop::sample::Index) {
        let lane = lane_of(lines, 7);
        let all = entries(&lane);
        let (cut, size) = (cut.index(all.len()) as u64, all.len() as u64);
        let mut edge = Edge::empty();
        for (first, end) in [(0, cut), (cut, size)] {
            let asked = GetSubtrees { first, end };
            let roots = lane.subtrees(asked).expect("answers").expect("a tree").expect("roots");
            for (height, root) in asked.rooted(&roots).expect("as many") {
                prop_assert!(edge.append_subtree(height, root));
            }
        }
        prop_assert_eq!(edge.head(), reckoned(&all));
    }
}

#[test]
fn what_is_not_in_the_tree_is_not_given() {
    let lane = lane_of(5, 2);
    let size = entries(&lane).len() as u64;
    let asked = |first, end| GetLines {
        first,
        end,
        max_bytes: 1000,
    };
    // The look at the bundle was logged.
    for (first, end) in [(0, size + 2), (3, 3), (4, 3), (u64::MAX - 1, u64::MAX)] {
        assert_eq!(lane.lines(asked(first, end)), Ok(Ok(None)), "{first} {end}");
    }
    let beyond = GetSubtrees {
        first: 0,
        end: size + 2,
    };
    assert_eq!(lane.subtrees(beyond), Ok(Ok(None)));
}

#[test]
fn of_lines_that_are_not_kept_any_more_it_is_told_from_where_they_are() {
    let lane = lane_of(9, 3);
    let all = entries(&lane);
    retained::remove_lines(lane.sql(), 0, 3).expect("removes");
    let mut kept = retained::kept(lane.sql()).expect("reads");
    kept.pruned_to = 3;
    retained::put_kept(lane.sql(), &kept).expect("notes");
    for (end, lines) in [(2, 0), (3, 0), (5, 2)] {
        let asked = GetLines {
            first: 0,
            end,
            max_bytes: 100_000,
        };
        let answer = lane.lines(asked).expect("answers").expect("a tree");
        let found = answer.expect("lines");
        let expected: Vec<u8> = all[3..3 + lines]
            .iter()
            .flat_map(|line| [line, &b"\n"[..]].concat())
            .collect();
        assert_eq!((found.first, found.lines), (3, Bytes(expected)), "{end}");
    }
}
