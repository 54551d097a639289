//! A new log of a lane that may not sign the one it has: through restores, losses, failures of both kinds, and what is under way
//! while it begins.

use super::archive::Archive;
use super::archive_tests::{CHECKPOINT, FakeArchive, archive_tiles, sign};
use super::log_keys;
use super::retention_tests::archive_all;
use super::service::LaneService;
use super::store;
use super::tests::{NOW, all_kills, append, pack};
use super::tree::Standing;
use super::tree_tests::{Lane, add, entries, keys, lane_of, ours, reckoned, verifier};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, SqlError};
use futures::FutureExt;
use portcullis_core::audit::call::{
    Answer, GetBundle, GetCheckpoint, GetLogKey, GetTile, LaneRequest,
};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::Head;
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::audit::log::epoch::{BeginEpoch, Beginning, Begun};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::wire::{self, Call};

pub const FIRST: &str = "id.example/audit/lane/0";
pub const SECOND: &str = "id.example/audit/lane/0.1";
const FAULTS: [Fault; 2] = [Fault::NotPersisted, Fault::PersistedButReportedFailed];

pub fn asked(log: &str, dry_run: bool) -> BeginEpoch {
    let actor = Actor::Operator("admin".into());
    let event = Event {
        reason: Some("restored after the fire".into()),
        ..Event::new(NOW, Action::EpochBegan, Outcome::Success, actor)
    };
    BeginEpoch {
        log: log.to_owned(),
        dry_run,
        event,
    }
}

pub fn begin(lane: &Lane, archive: &FakeArchive, log: &str) -> Result<Beginning, SqlError> {
    let begun = lane.begin_epoch(archive, asked(log, false), NOW);
    begun.now_or_never().expect("the archive answers at once")
}

pub fn name(lane: &Lane) -> String {
    verifier(lane).origin().to_string()
}

/// Begins a log in place of whatever the lane has.
pub fn begun(lane: &Lane, archive: &FakeArchive) -> Begun {
    let key = log_keys::current(lane.sql()).expect("reads");
    let log = key.map_or(FIRST.to_owned(), |key| key.origin);
    match begin(lane, archive, &log) {
        Ok(Beginning::Begun(begun)) => begun,
        other => panic!("{other:?}"),
    }
}

/// The lane as it is now, in storage of its own.
pub fn copied(lane: &Lane) -> Lane {
    LaneService::new(lane.sql().copied(), Some(ours()))
}

/// What an object gets for a call that may wait for the archive.
fn asked_of<C: Call<Request = LaneRequest>>(
    lane: &Lane,
    archive: &FakeArchive,
    call: C,
) -> C::Reply {
    let request = call.into_request();
    let reply = if lane.waits(&request).expect("answers") {
        let reply = lane.answer_from(request, archive, NOW).now_or_never();
        reply.expect("the archive answers at once")
    } else {
        lane.answer(request, NOW)
    };
    wire::decode(&reply.expect("answers")).expect("decodes")
}

/// A lane that was restored to when it had 700 lines, when a checkpoint of 1,000 was archived with three tiles.
pub fn restored() -> (Lane, FakeArchive, Head) {
    let (lane, archive) = (lane_of(700, 50), FakeArchive::default());
    archive_tiles(&lane, &archive).expect("archives");
    sign(&lane, &archive, 1).expect("answers").expect("signs");
    let earlier = copied(&lane);
    add(&lane, 701, 300, 50);
    archive_tiles(&lane, &archive).expect("archives");
    let head = sign(&lane, &archive, 2).expect("answers").expect("signs");
    (earlier, archive, head)
}

pub fn told(lane: &Lane, action: &str) -> Vec<serde_json::Value> {
    let lines = entries(lane);
    let lines = lines
        .iter()
        .map(|line| serde_json::from_slice(line).expect("JSON"));
    lines
        .filter(|line: &serde_json::Value| line["action"] == action)
        .collect()
}

#[test]
fn a_lane_that_was_restored_signs_again_when_a_new_log_has_begun_and_the_old_is_as_it_was() {
    let (lane, archive, last) = restored();
    let before = verifier(&lane);
    let ahead = Refusal::ArchiveAhead {
        archived: 1000,
        size: 700,
    };
    assert_eq!(sign(&lane, &archive, 3), Ok(Err(ahead)));
    let names = archive.names();
    let old: Vec<_> = names.iter().map(|name| archive.bytes(name)).collect();

    let begun = begun(&lane, &archive);
    assert_eq!((begun.epoch, begun.log.as_str()), (1, SECOND));
    assert_eq!(
        (begun.ended.log.as_str(), begun.ended.refusal),
        (FIRST, ahead)
    );
    assert_eq!(begun.ended.archived.map(Head::from), Some(last));
    assert_eq!(begun.ended.lines, 700);
    let key = verifier(&lane);
    assert_eq!(begun.vkey, Some(key.to_vkey()));
    assert!(key.key() != before.key() && key.origin().as_str() == SECOND);

    // It signs what it has, which begins as before and says what happened.
    add(&lane, 701, 100, 50);
    let head = sign(&lane, &archive, 4).expect("answers").expect("signs");
    assert_eq!(head, reckoned(&entries(&lane)[..801]));
    let said: serde_json::Value = serde_json::from_slice(&entries(&lane)[700]).expect("JSON");
    let root = {
        use base64ct::{Base64, Encoding};
        Base64::encode_string(&last.root.0)
    };
    assert_eq!(
        (
            &said["action"],
            &said["reason"],
            &said["actor"]["id"],
            &said["detail"]
        ),
        (
            &"audit.epoch_began".into(),
            &"restored after the fire".into(),
            &"admin".into(),
            &serde_json::json!({
                "log": SECOND, "ended": FIRST, "archived_size": 1000, "archived_root": root, "lines": 700,
                "refusal": ahead.to_string(),
            })
        )
    );
    // All full tiles are archived anew, and nothing of the old log is touched.
    archive_all(&lane, &archive);
    for name in [
        "key",
        "checkpoint",
        "tile/0/000",
        "tile/0/002",
        "tile/entries/000",
        "tile/entries/002",
    ] {
        assert!(
            archive.bytes(&format!("lane/0.1/{name}")).is_some(),
            "{name}"
        );
    }
    let now: Vec<_> = names.iter().map(|name| archive.bytes(name)).collect();
    assert!(now == old);
    // The instance that comes next knows it, too.
    let lane = lane.restarted(Some(ours()));
    assert_eq!(name(&lane), SECOND);
    add(&lane, 801, 10, 10);
    let later = sign(&lane, &archive, 5).expect("answers").expect("signs");
    assert!(later.size > head.size);
    assert_eq!(lane.status().expect("answers").epoch, 1);
}

#[test]
fn of_a_log_that_ended_what_was_archived_can_be_had_and_nothing_else() {
    let (lane, archive, last) = restored();
    let old_key = verifier(&lane);
    begun(&lane, &archive);
    let checkpoint = |epoch| asked_of(&lane, &archive, GetCheckpoint { epoch });
    let note = checkpoint(Some(0)).expect("a checkpoint");
    assert_eq!(old_key.open(&note), Ok(last));
    assert_eq!(Some(note), archive.bytes(CHECKPOINT));
    let new = checkpoint(Some(1)).expect("signs");
    assert_eq!(checkpoint(None), Ok(new.clone()));
    assert!(verifier(&lane).open(&new).is_ok());
    let missing = Refusal::NoLog { epoch: 1 };
    assert_eq!(checkpoint(Some(2)), Err(missing));
    let key = |epoch| asked_of(&lane, &archive, GetLogKey { epoch: Some(epoch) });
    assert_eq!(key(0), Ok(old_key.to_vkey()));
    assert_eq!(key(1), Ok(verifier(&lane).to_vkey()));
    assert_eq!(key(2), Err(missing));
    let tile = |epoch, number, width| {
        let level = 0;
        let asked = GetTile {
            epoch,
            level,
            number,
            width,
        };
        asked_of(&lane, &archive, asked).expect("answers")
    };
    assert_eq!(tile(0, 2, 256), archive.bytes("lane/0/tile/0/002"));
    assert!(tile(0, 2, 256).is_some() && tile(1, 1, 256).is_some());
    // What was not full was not archived; what the lane has now is not the old log's.
    for (epoch, number, width) in [(0, 2, 100), (0, 3, 1), (0, 3, 256), (2, 0, 256)] {
        assert_eq!(tile(epoch, number, width), None, "{epoch} {number} {width}");
    }
    let reads = told(&lane, "audit.read").len();
    let bundle = |epoch, number, width| {
        let read = Event::new(NOW, Action::AuditRead, Outcome::Success, Actor::Anonymous);
        let asked = GetBundle {
            epoch,
            number,
            width,
            read,
        };
        asked_of(&lane, &archive, asked).expect("answers")
    };
    assert_eq!(bundle(0, 2, 256), archive.bytes("lane/0/tile/entries/002"));
    for (epoch, number, width) in [(0, 2, 100), (0, 3, 256), (2, 0, 256)] {
        assert_eq!(bundle(epoch, number, width), None);
    }
    // Each bundle that was read is in the log: that one, and those that this test counts by.
    assert!(bundle(0, 0, 256).is_some());
    let counted = told(&lane, "audit.read").len();
    let bundles = store::next_index(lane.sql()).expect("a size").div_ceil(256);
    assert!(counted >= reads + 2, "{reads} {counted} {bundles}");
}

#[test]
fn a_log_that_may_be_signed_does_not_end_and_one_that_ended_does_not_end_again() {
    let (lane, archive) = (lane_of(300, 50), FakeArchive::default());
    assert_eq!(begin(&lane, &archive, FIRST), Ok(Beginning::NoGround));
    sign(&lane, &archive, 1).expect("answers").expect("signs");
    assert_eq!(begin(&lane, &archive, FIRST), Ok(Beginning::NoGround));
    let log = FIRST.to_owned();
    assert_eq!(
        begin(&lane, &archive, SECOND),
        Ok(Beginning::NotThat { log })
    );
    assert_eq!(archive.names(), [CHECKPOINT]);
    let (lane, archive, _) = restored();
    begun(&lane, &archive);
    let size = store::next_index(lane.sql());
    // Whoever lost the answer is told the new name.
    let log = SECOND.to_owned();
    assert_eq!(
        begin(&lane, &archive, FIRST),
        Ok(Beginning::NotThat { log })
    );
    assert_eq!(begin(&lane, &archive, SECOND), Ok(Beginning::NoGround));
    assert_eq!(store::next_index(lane.sql()), size);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (lane, archive, last) = restored();
    sign(&lane, &archive, 3)
        .expect("answers")
        .expect_err("refused");
    let (names, rows) = (archive.names(), lane.sql().rows_written());
    let tried = lane.begin_epoch(&archive, asked(FIRST, true), NOW);
    let tried = tried.now_or_never().expect("at once").expect("answers");
    let Beginning::Begun(tried) = tried else {
        panic!("{tried:?}")
    };
    assert_eq!((tried.epoch, tried.vkey), (1, None));
    assert_eq!(tried.ended.archived.map(Head::from), Some(last));
    assert_eq!(archive.names(), names);
    assert_eq!(lane.sql().rows_written(), rows);
    assert_eq!(name(&lane), FIRST);
}

#[test]
fn no_log_begins_of_a_lane_that_is_shut_or_whose_tree_is_being_built() {
    let (lane, archive, _) = restored();
    let change = "UPDATE segment SET edge = zeroblob(length(edge))";
    lane.sql().exec(change, &[]).expect("changes");
    let lane = lane.restarted(Some(ours()));
    assert_eq!(lane.ready(), Ok(Standing::Differs));
    let shut = Ok(Beginning::Refused(Refusal::Shut));
    assert_eq!(begin(&lane, &archive, FIRST), shut);
    // More segments than are built at a time.
    let (lane, archive) = (lane_of(200, 1), FakeArchive::default());
    for older in [
        "UPDATE segment SET hashes = NULL, edge = NULL",
        "INSERT INTO unbuilt (id, next_index) VALUES (1, 0)",
    ] {
        lane.sql().exec(older, &[]).expect("changes");
    }
    let lane = lane.restarted(Some(ours()));
    let built = Ok(Beginning::Refused(Refusal::BeingBuilt));
    assert_eq!(begin(&lane, &archive, FIRST), built);
    assert!(
        archive
            .names()
            .iter()
            .all(|name| !name.starts_with("lane/0.1"))
    );
}

#[test]
fn a_lane_that_is_restored_again_and_again_never_has_a_name_twice() {
    let (lane, archive, _) = restored();
    let before = copied(&lane);
    let mut seen = vec![verifier(&lane).to_vkey()];
    for epoch in 1..4 {
        // It goes back to before any other log began.
        let lane = copied(&before);
        let begun = begun(&lane, &archive);
        assert_eq!(begun.epoch, epoch);
        let key = begun.vkey.expect("a key");
        assert!(!seen.contains(&key));
        seen.push(key);
        sign(&lane, &archive, 10 + u64::from(epoch))
            .expect("answers")
            .expect("signs");
    }
    // And when all of its storage is lost.
    let lost = lane_of(40, 5);
    assert_eq!(
        sign(&lost, &archive, 20),
        Ok(Err(Refusal::ArchiveOfAnother))
    );
    let begun = begun(&lost, &archive);
    assert_eq!(begun.epoch, 4);
    assert_eq!(begun.ended.refusal, Refusal::ArchiveOfAnother);
    assert_eq!(begun.ended.archived, None);
    sign(&lost, &archive, 21).expect("answers").expect("signs");
    // The key that it had made for the name of another's log is not told as that log's. Those in the archive are.
    let key = |epoch| asked_of(&lost, &archive, GetLogKey { epoch: Some(epoch) });
    assert_eq!(key(0), Err(Refusal::NoLog { epoch: 4 }));
    assert_eq!(
        (1..4)
            .map(|epoch| key(epoch).expect("a key"))
            .collect::<Vec<_>>(),
        seen[1..]
    );
    let note = asked_of(&lost, &archive, GetCheckpoint { epoch: Some(2) });
    let old = CheckpointVerifier::from_vkey(&seen[2]).expect("a key");
    assert!(old.open(&note.expect("a checkpoint")).is_ok());
}

#[test]
fn a_lane_whose_service_key_was_changed_can_begin_a_log_and_take_its_name_of_today() {
    let (lane, archive) = (lane_of(300, 50), FakeArchive::default());
    let last = sign(&lane, &archive, 1).expect("answers").expect("signs");
    let lane = lane.restarted(Some(keys(2, "https://moved.example")));
    let begun = begun(&lane, &archive);
    assert_eq!(begun.ended.refusal, Refusal::KeyUnusable);
    assert_eq!(begun.ended.archived.map(Head::from), Some(last));
    assert_eq!(begun.log, "moved.example/audit/lane/0.1");
    let head = sign(&lane, &archive, 2).expect("answers").expect("signs");
    assert_eq!(head.size, 301);
    // The old key is told as it was.
    let key = asked_of(&lane, &archive, GetLogKey { epoch: Some(0) });
    assert!(key.expect("a key").starts_with("id.example/audit/lane/0+"));
}

#[test]
fn a_lane_that_is_not_its_archives_puts_no_tile_of_its_own_there() {
    let (lane, archive) = (lane_of(500, 50), FakeArchive::default());
    archive_tiles(&lane, &archive).expect("archives");
    let earlier = copied(&lane);
    add(&lane, 501, 300, 50);
    // It signed more than it had archived tiles of.
    sign(&lane, &archive, 1).expect("answers").expect("signs");
    let names = archive.names();
    add(&earlier, 501, 500, 7);
    let lane = earlier.restarted(Some(ours()));
    assert!(archive_tiles(&lane, &archive).is_err());
    assert_eq!(archive.names(), names);
    // And it does not try again until a new log has begun.
    assert_eq!(lane.has_unarchived(), Ok(false));
    begun(&lane, &archive);
    archive_all(&lane, &archive);
    assert!(archive.bytes("lane/0.1/tile/0/002").is_some());
    assert_eq!(archive.bytes("lane/0/tile/0/002"), None);
}

#[test]
fn a_tile_that_is_anothers_is_a_ground_too() {
    let (lane, archive) = (lane_of(600, 100), FakeArchive::default());
    sign(&lane, &archive, 1).expect("answers").expect("signs");
    let put = archive.put("lane/0/tile/entries/001", b"another log's", None);
    put.now_or_never().expect("at once").expect("puts");
    assert!(archive_tiles(&lane, &archive).is_err());
    let begun = begun(&lane, &archive);
    assert_eq!(
        begun.ended.refusal,
        Refusal::ArchiveDiffers { archived: 512 }
    );
    archive_all(&lane, &archive);
    sign(&lane, &archive, 2).expect("answers").expect("signs");
}

#[test]
fn whatever_fails_while_a_log_begins_there_is_the_old_or_the_new_and_asking_again_completes() {
    let mut begun_in_failure = 0;
    for (fault, of_archive) in FAULTS
        .into_iter()
        .flat_map(|fault| [(fault, true), (fault, false)])
    {
        for nth in 0.. {
            let (lane, archive, _) = restored();
            lane.ready().expect("opens");
            if of_archive {
                archive.fail_nth(nth, fault);
            } else {
                lane.sql().fail_nth(nth, fault);
            }
            let first = begin(&lane, &archive, FIRST);
            let failed = !archive.heal() & !lane.sql().heal();
            if !failed {
                assert!(matches!(first, Ok(Beginning::Begun(_))), "{first:?}");
                assert!(nth > 1);
                break;
            }
            assert!(first.is_err(), "{of_archive} {nth} {first:?}");
            let lane = if nth.is_multiple_of(2) {
                lane.restarted(Some(ours()))
            } else {
                lane
            };
            match begin(&lane, &archive, FIRST).expect("answers") {
                Beginning::Begun(begun) => assert!(begun.epoch <= 2),
                Beginning::NotThat { log } => {
                    begun_in_failure += 1;
                    assert_eq!(log, name(&lane));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(told(&lane, "audit.epoch_began").len(), 1);
            assert_ne!(name(&lane), FIRST);
            sign(&lane, &archive, 9).expect("answers").expect("signs");
            archive_all(&lane, &archive);
            let prefix = name(&lane).replace("id.example/audit/", "");
            assert!(archive.bytes(&format!("{prefix}/tile/0/001")).is_some());
        }
    }
    assert!(begun_in_failure > 0);
}

#[test]
fn events_are_taken_read_and_known_again_in_a_new_log() {
    let (lane, archive, _) = restored();
    begun(&lane, &archive);
    // What was lost with the restoration comes again, and what the lane has adds nothing.
    let again = lane
        .append(append(vec![pack(1, 601, 400)]), NOW)
        .expect("appends");
    assert_eq!(again.new_events, 300);
    assert_eq!(all_kills(&lane).len(), 1000);
}

#[test]
fn a_lane_from_before_there_were_logs_of_it_has_its_first() {
    let sql = HostSql::new();
    let before: Vec<&str> = store::MIGRATIONS[..8].to_vec();
    crate::objects::sql::migrate(&sql, &before).expect("migrates");
    let lane = lane_of(1, 1);
    let key = verifier(&lane);
    let row = lane.sql().exec(
        "SELECT origin, public, sealed, created_at FROM log_key",
        &[],
    );
    let row = row.expect("reads");
    let put = "INSERT INTO log_key (id, origin, public, sealed, created_at) VALUES (1, ?, ?, ?, ?)";
    sql.exec(put, &row[0].0).expect("writes");
    let lane = LaneService::new(sql, Some(ours()));
    assert_eq!(verifier(&lane), key);
    assert_eq!(lane.status().expect("answers").epoch, 0);
    let told: Answer<String> =
        asked_of(&lane, &FakeArchive::default(), GetLogKey { epoch: Some(0) });
    assert_eq!(told, Ok(key.to_vkey()));
}
