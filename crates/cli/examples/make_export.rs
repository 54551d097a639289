//! Makes an export of a log that never was, to measure how fast one is verified:
//!
//! ```sh
//! cargo run --release -p portcullis-cli --example make_export -- DIR LINES
//! time cargo run --release -q -p portcullis-cli -- audit verify DIR --key-file DIR/key
//! ```
//!
//! Its lines are what a gateway says of requests, of which each has another subject, session and path. With `--all` behind them they are
//! of every action, outcome and kind of actor there is, with and without what an event need not have, and are there in every format: for
//! others to judge.

use portcullis_core::audit::event::{Action, Actor, Credential, Event, Outcome, RequestFacts};
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{Entry, Kind, Manifest, Range, Stated};
use portcullis_core::audit::export::write::Writer;
use portcullis_core::audit::export::{
    CHECKPOINT, EVENTS, MANIFEST, PROOFS, VERSION, VIEWS, csv, ocsf,
};
use portcullis_core::audit::line::{Position, render};
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::leaf_hash;
use portcullis_core::audit::sealed::{PersonKey, Place, personal};
use portcullis_core::id::{LogHash, ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

#[path = "../src/commands/audit/parquet.rs"]
mod parquet;

const ISSUER: &str = "https://id.example";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(lines)) = (args.next(), args.next()) else {
        return Err("make_export DIR LINES [--all]".into());
    };
    let all = args.next().is_some_and(|arg| arg == "--all");
    let (dir, lines) = (Path::new(&dir), lines.parse()?);
    fs::create_dir_all(dir)?;
    let origin = Origin::of_lane(ISSUER, 0).ok_or("no origin")?;
    let signer = CheckpointSigner::from_seed(origin, [7; 32]);
    let to = |name: &str| File::create(dir.join(name)).map(BufWriter::new);
    let origin = signer.verifier().origin().to_string();
    let mut writer = Writer::begin(to(EVENTS)?, to(PROOFS)?, &origin, lines)?;
    let mut edge = Edge::empty();
    for index in 0..lines {
        let line = line(&if all { any(index) } else { usual(index) }, index)?;
        edge.append(leaf_hash(line.as_bytes()), &mut Vec::new());
        writer
            .line(line.as_bytes())
            .map_err(|error| format!("{error:?}"))?;
    }
    let head = edge.head();
    let (done, ..) = writer.finish(&head).map_err(|error| format!("{error:?}"))?;
    let note = signer.sign(&head).map_err(|error| error.to_string())?;
    fs::write(dir.join(CHECKPOINT), note)?;
    fs::write(dir.join("key"), signer.verifier().to_vkey())?;
    let entry = |name: &str| -> Result<Entry, Box<dyn Error>> {
        Ok(Entry::new(
            name,
            digest(BufReader::new(File::open(dir.join(name))?))?,
        ))
    };
    let mut files = vec![entry(EVENTS)?, entry(CHECKPOINT)?, entry(PROOFS)?];
    if all {
        write_views(dir)?;
        for name in VIEWS {
            files.push(entry(name)?);
        }
    }
    let manifest = Manifest {
        version: VERSION,
        issuer: ISSUER.to_owned(),
        lane: 0,
        origin,
        kind: Kind::Whole,
        scanned: vec![Range {
            first: 0,
            end: lines,
        }],
        filter: None,
        lines: done.lines,
        first_index: done.first_index,
        last_index: done.last_index,
        exported_at: UnixMillis(0).to_rfc3339(),
        requested_by: None,
        checkpoint: Stated::from(&head),
        files,
    };
    fs::write(dir.join(MANIFEST), manifest.render()?)?;
    println!("{} lines, {} bytes", done.lines, done.events_bytes);
    Ok(())
}

/// The lines in every other format.
fn write_views(dir: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(dir.join(EVENTS))?;
    let [as_csv, as_ocsf, as_parquet] = VIEWS.map(|name| dir.join(name));
    let mut to = File::create(as_csv)?;
    to.write_all(csv::header().as_bytes())?;
    for line in text.lines() {
        let record = csv::record(line.as_bytes()).ok_or("a line is none")?;
        to.write_all(record.as_bytes())?;
    }
    let mut to = File::create(as_ocsf)?;
    for line in text.lines() {
        writeln!(
            to,
            "{}",
            ocsf::event(line.as_bytes()).ok_or("a line is none")?
        )?;
    }
    let lines = text.lines().map(|line| Ok(line.as_bytes().to_vec()));
    parquet::write(File::create(as_parquet)?, lines)?;
    Ok(())
}

const BEGINNING: u64 = 1_790_000_000_000;

fn id_of(index: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id
}

fn usual(index: u64) -> Event {
    let id = id_of(index);
    let subject = SubjectKey::from_bytes(id);
    Event {
        subject: Some(subject),
        session: Some(LogHash::from_bytes(id)),
        client_id: Some("demo-app".to_owned()),
        resource: Some("https://api.example".to_owned()),
        request: Some(RequestFacts {
            method: "GET".to_owned(),
            host: "api.example".to_owned(),
            path: format!("/v1/orders/{index}"),
            status: Some(200),
            ip: Some("192.0.2.17".to_owned()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0)".to_owned()),
            ..RequestFacts::default()
        }),
        credential: Some(Credential {
            issuer: Some(ISSUER.to_owned()),
            kid: Some("2026-11".to_owned()),
            ..Credential::default()
        }),
        ..Event::new(
            UnixMillis(BEGINNING + index),
            Action::RequestAllowed,
            Outcome::Success,
            Actor::Subject(subject),
        )
    }
}

/// One of every kind, by and by: each action with each outcome and actor, bare and with all that there can be.
fn any(index: u64) -> Event {
    let id = id_of(index);
    let subject = SubjectKey::from_bytes(id);
    let pick = |of: u64, after: u64| usize::try_from(index / after % of).unwrap_or(0);
    let actions = Action::ALL.len() as u64;
    let outcomes = [Outcome::Success, Outcome::Denied];
    let actors = [
        Actor::Subject(subject),
        Actor::Operator("admin".to_owned()),
        Actor::Connection("okta".to_owned()),
        Actor::Client("demo-app".to_owned()),
        Actor::Anonymous,
        Actor::Unproven(37),
    ];
    let reasons = [
        "created",
        "updated",
        "deleted",
        "deactivated",
        "enabled",
        "=1+1",
    ];
    let bare = Event::new(
        UnixMillis(BEGINNING + index),
        Action::ALL[pick(actions, 1)],
        outcomes[pick(2, actions)],
        actors[pick(6, 5)].clone(),
    );
    if index.is_multiple_of(4) {
        return bare;
    }
    let methods = ["GET", "POST", "PATCH", "DELETE", "PROPFIND"];
    let mut full = Event {
        reason: Some(reasons[pick(6, 1)].to_owned()),
        token: Some(LogHash::from_bytes(id)),
        claims: vec![("dept".to_owned(), "Zoë, \"R&D\"\u{1f600}".to_owned())],
        policy: Some(LogHash::from_bytes([5; 16])),
        ..usual(index)
    };
    (full.action, full.outcome, full.actor) = (bare.action, bare.outcome, bare.actor);
    if let Some(request) = &mut full.request {
        methods[pick(5, 3)].clone_into(&mut request.method);
        let hosts = [
            "api.example",
            "api.example:8443",
            "[2001:db8::1]:443",
            "127.0.0.1:1",
        ];
        hosts[pick(4, 2)].clone_into(&mut request.host);
        request.ray = Some("8f0c0ffee0ddba11".to_owned());
        request.asn = Some(64_496);
        request.country = Some("CH".to_owned());
        request.ip = Some(["192.0.2.17", "2001:db8::17"][pick(2, 1)].to_owned());
    }
    if let Some(credential) = &mut full.credential {
        credential.act = vec![SubjectKey::from_bytes([2; 16])];
        credential.connection = Some("okta".to_owned());
    }
    if index % 4 == 1 {
        (full.request, full.subject, full.client_id) = (None, None, None);
    }
    full
}

fn line(event: &Event, index: u64) -> Result<String, String> {
    let position = Position {
        index,
        lane: 0,
        producer: ProducerId::from_bytes([3; 16]),
        sequence: index,
        received: event.occurred,
        committed: event.occurred,
    };
    let place = Place::from(&position);
    let text = personal(event).map_err(|error| error.to_string())?;
    let sealed = text.and_then(|text| {
        PersonKey::from_bytes([1; 32])
            .leaf(place)
            .seal(place, &text)
    });
    render(event, None, sealed.as_deref(), &position).map_err(|error| format!("{error:?}"))
}
