//! As many members as a request may name.

use super::jobs::{change, job, make_group};
use super::{ask, changing, directory};
use crate::objects::sql::Sql;
use portcullis_core::scim::call::{CreateUser, UserChange};
use portcullis_core::scim::change::{GroupChange, GroupPolicy};
use portcullis_core::scim::patch::members::MemberDifference;
use portcullis_core::scim::user::UserId;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeSet;

#[test]
fn as_many_ids_as_a_group_may_have_are_told_apart() {
    let directory = directory();
    let all: BTreeSet<String> = (0..60_000u32)
        .map(|n| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            let user = UserId::from_bytes(bytes);
            let link = "INSERT INTO linked_subject (user, subject) VALUES (?, ?)";
            let values = [user.as_bytes().into(), user.as_bytes().into()];
            if n == 0 {
                let body = r#"{"userName":"first"}"#.to_owned();
                ask(&directory, CreateUser { id: user, body })
                    .expect("answers")
                    .expect("made");
            } else {
                directory.sql().exec(link, &values).expect("writes");
            }
            user.to_text()
        })
        .collect();
    make_group(&directory);
    let removed = MemberDifference {
        added: BTreeSet::new(),
        removed: all,
    };
    let of = GroupChange::Members(removed);
    let id = change(&directory, GroupPolicy::Automatic, &of, UnixMillis(1));
    let job = job(&directory, id.expect("stores").expect("a job")).expect("there");
    assert_eq!(job.total, 60_000);
    let delete = changing(UserId::from_bytes([0; 16]), UserChange::Delete);
    assert!(ask(&directory, delete).expect("answers").is_ok());
}
