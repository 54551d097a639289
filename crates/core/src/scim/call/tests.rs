use super::*;
use crate::id::SubjectKey;
use crate::registry::{Place, ScimUser};
use crate::scim::job::JobKind;
use crate::session::provision::Provisioned;
use crate::session::{Profile, Upstream};
use crate::time::UnixMillis;
use crate::wire::{self, Call};

#[test]
fn golden_bytes() {
    let mut expected = vec![1, 1];
    expected.extend([6; 16]);
    let id = UserId::from_bytes([6; 16]);
    assert_eq!(wire::encode(&GetUser { id }.into_request()), Ok(expected));
    let reply: UserReply = Err(ScimError::NotFound);
    assert_eq!(wire::encode(&reply), Ok(vec![1, 1, 6]));
}

#[test]
fn golden_bytes_of_searches_and_changes() {
    let asked = Asked {
        filter: Some("f".into()),
        ..Asked::default()
    };
    assert_eq!(
        wire::encode(&SearchUsers { asked }.into_request()),
        Ok(vec![1, 9, 1, 1, b'f', 0, 0, 0, 0, 0, 0])
    );
    let found: SearchReply = Ok(Found {
        total: 2,
        resources: vec!["r".into()],
    });
    assert_eq!(wire::encode(&found), Ok(vec![1, 0, 2, 1, 1, b'r']));
    for (change, bytes) in [
        (UserChange::Replace("b".into()), &[0, 1, b'b'][..]),
        (UserChange::Patch("b".into()), &[1, 1, b'b']),
        (UserChange::Delete, &[2]),
    ] {
        let change = ChangeUser {
            id: UserId::from_bytes([6; 16]),
            change,
            if_match: Some("m".into()),
            if_none_match: None,
        };
        let expected = [&[1, 10][..], &[6; 16], bytes, &[1, 1, b'm', 0]].concat();
        assert_eq!(wire::encode(&change.into_request()), Ok(expected));
    }
    let deleted: ChangeReply = Ok(None);
    assert_eq!(wire::encode(&deleted), Ok(vec![1, 0, 0]));
}

#[test]
fn what_was_sent_under_a_place_that_is_retired_cannot_be_read() {
    // As a name was asked for, a user changed, and one deleted.
    let find = [&[1, 2][..], &[1, 1, b'a', 1, 100]].concat();
    let patch = [&[1, 3][..], &[6; 16], &[1, b'p']].concat();
    let delete = [&[1, 4][..], &[6; 16]].concat();
    for bytes in [find, patch, delete] {
        assert!(
            wire::decode::<DirectoryRequest>(&bytes).is_err(),
            "{bytes:?}"
        );
    }
}

#[test]
fn golden_bytes_of_jobs_and_seats() {
    let list = ListJobs {
        before: Some(JobId(300)),
        limit: 5,
    };
    assert_eq!(
        wire::encode(&list.into_request()),
        Ok(vec![1, 15, 1, 172, 2, 5])
    );
    let find = FindJob { id: JobId(300) };
    assert_eq!(wire::encode(&find.into_request()), Ok(vec![1, 16, 172, 2]));
    assert_eq!(wire::encode(&CountSeats.into_request()), Ok(vec![1, 17]));
    let job = Job {
        id: JobId(7),
        what: JobKind::Renamed,
        group: GroupId::from_bytes([6; 16]),
        group_name: "g".into(),
        cause: Some("c".into()),
        total: 3,
        done: 2,
        failing: 1,
        created: UnixMillis(8),
        finished: None,
    };
    let expected = [&[7, 1][..], &[6; 16], &[1, b'g', 1, 1, b'c', 3, 2, 1, 8, 0]].concat();
    let jobs = Jobs {
        jobs: vec![job],
        next: Some(JobId(7)),
    };
    assert_eq!(
        wire::encode(&jobs),
        Ok([&[1, 1][..], &expected, &[1, 7]].concat())
    );
}

#[test]
fn golden_bytes_of_secrets() {
    use crate::audit::event::Actor;
    use crate::id::ScimSecretId;
    let by = || Actor::Operator("o".into());
    let make = MakeSecret {
        digest: Digest::from_bytes([8; 32]),
        overlap_secs: 5,
        by: by(),
    };
    let expected = [&[1, 12][..], &[8; 32], &[5, 2, 1, b'o']].concat();
    assert_eq!(wire::encode(&make.into_request()), Ok(expected));
    assert_eq!(wire::encode(&Knock.into_request()), Ok(vec![1, 11]));
    assert_eq!(wire::encode(&ListSecrets.into_request()), Ok(vec![1, 13]));
    let one = RemoveSecrets {
        id: Some(ScimSecretId::from_bytes([7; 16])),
        by: by(),
    };
    let expected = [&[1, 14, 1][..], &[7; 16], &[2, 1, b'o']].concat();
    assert_eq!(wire::encode(&one.into_request()), Ok(expected));
}

#[test]
fn golden_bytes_of_resources_of_any_type() {
    let bytes = |parts: &[&[u8]]| Ok(parts.concat());
    let view = View {
        attributes: None,
        excluded_attributes: Some("members".into()),
    };
    let read = ReadResource {
        target: Target::Group(GroupId::from_bytes([6; 16])),
        view: view.clone(),
    };
    assert_eq!(
        wire::encode(&read.into_request()),
        bytes(&[&[1, 18, 1], &[6; 16], &[0, 1, 7], b"members"])
    );
    for (change, expected) in [
        (Write::Create("b".into()), &[0, 1, b'b'][..]),
        (Write::Replace("b".into()), &[1, 1, b'b']),
        (Write::Patch("b".into()), &[2, 1, b'b']),
        (Write::Delete, &[3]),
    ] {
        let write = WriteResource {
            target: Target::User(UserId::from_bytes([6; 16])),
            change,
            if_match: None,
            if_none_match: Some("m".into()),
            view: Some(View::default()),
        };
        assert_eq!(
            wire::encode(&write.into_request()),
            bytes(&[&[1, 19, 0], &[6; 16], expected, &[0, 1, 1, b'm', 1, 0, 0]])
        );
    }
    for (of, number) in [
        (Searched::Users, 0),
        (Searched::Groups, 1),
        (Searched::All, 2),
    ] {
        let list = SearchResources {
            of,
            asked: Asked::default(),
        };
        assert_eq!(
            wire::encode(&list.into_request()),
            bytes(&[&[1, 20, number], &[0; 7]])
        );
    }
    let bulk = RunBulk {
        id: BulkId::from_bytes([6; 16]),
        body: "b".into(),
    };
    assert_eq!(
        wire::encode(&bulk.into_request()),
        bytes(&[&[1, 21], &[6; 16], &[1, b'b']])
    );
    let done: WriteReply = Ok(Written {
        resource: Some(Versioned {
            version: 5,
            resource: None,
        }),
        job: Some(JobId(6)),
    });
    assert_eq!(wire::encode(&done), Ok(vec![1, 0, 1, 5, 0, 1, 6]));
}

#[test]
fn golden_bytes_of_the_registry() {
    let subject = SubjectKey::from_bytes([7; 16]);
    let bytes = |parts: &[&[u8]]| Ok(parts.concat());
    let see = SeeLogin {
        subject,
        value: "v".into(),
        upstream: Upstream {
            sub: Some(Digest::from_bytes([8; 32])),
            sid: None,
        },
        flow_begun_at: UnixMillis(2),
        profile: Profile::default(),
        groups: vec!["g".into()],
    };
    let rest = [0, 2, 0, 0, 0, 0, 1, 1, b'g'];
    assert_eq!(
        wire::encode(&see.into_request()),
        bytes(&[&[1, 5], &[7; 16], &[1, b'v', 1], &[8; 32], &rest])
    );
    assert_eq!(wire::encode(&SeenLogin::Ended), Ok(vec![1, 1]));
    let said = SeenLogin::Provisioned(Provisioned {
        version: 300,
        groups: vec!["g".into()],
        roles: vec!["r".into()],
    });
    let said_bytes = [1, 2, 0xac, 2, 1, 1, b'g', 1, 1, b'r'];
    assert_eq!(wire::encode(&said), Ok(said_bytes.to_vec()));
    let logout = UpstreamLogout {
        replay: Digest::from_bytes([9; 32]),
        expires_at: UnixMillis(3),
        upstream: Upstream::default(),
        subject: Some(subject),
    };
    assert_eq!(
        wire::encode(&logout.into_request()),
        bytes(&[&[1, 6], &[9; 32], &[3, 0, 0, 1], &[7; 16]])
    );
    assert_eq!(wire::encode(&LoggedOut::Told(2)), Ok(vec![1, 0, 2]));
    assert_eq!(wire::encode(&LoggedOut::Replayed), Ok(vec![1, 1]));
    let place = || Place {
        found: "f".into(),
        value: "v".into(),
    };
    let list = ListPeople {
        search: "f".into(),
        disabled: Some(true),
        after: Some(place()),
        limit: 5,
    };
    assert_eq!(
        wire::encode(&list.into_request()),
        bytes(&[&[1, 7, 1, b'f', 1, 1, 1, 1, b'f', 1, b'v', 5]])
    );
    let person = KnownPerson {
        subject,
        value: "v".into(),
        name: None,
        preferred_username: None,
        email: None,
        groups: vec![],
        disabled: true,
        last_login_at: Some(UnixMillis(4)),
        scim: Some(ScimUser {
            id: UserId::from_bytes([6; 16]),
            active: false,
        }),
        seat: true,
    };
    let people = People {
        people: vec![person],
        next: Some(place()),
    };
    let of_person = [1, b'v', 0, 0, 0, 0, 1, 1, 4, 1];
    assert_eq!(
        wire::encode(&people),
        bytes(&[
            &[1, 1],
            &[7; 16],
            &of_person,
            &[6; 16],
            &[0, 1, 1, 1, b'f', 1, b'v']
        ])
    );
    assert_eq!(
        wire::encode(&FindPerson { subject }.into_request()),
        bytes(&[&[1, 8], &[7; 16]])
    );
}
