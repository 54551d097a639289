//! Makes an export of a log that never was, to measure how fast one is verified:
//!
//! ```sh
//! cargo run --release -p portcullis-cli --example make_export -- DIR LINES
//! time cargo run --release -q -p portcullis-cli -- audit verify DIR --key-file DIR/key
//! ```
//!
//! Its lines are what a gateway says of requests, of which each has another subject, session and path.

use portcullis_core::audit::event::{Action, Actor, Credential, Event, Outcome, RequestFacts};
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{Entry, Kind, Manifest, Range, Stated};
use portcullis_core::audit::export::write::Writer;
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, MANIFEST, PROOFS, VERSION};
use portcullis_core::audit::line::{Position, render};
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::leaf_hash;
use portcullis_core::audit::sealed::{PersonKey, Place, personal};
use portcullis_core::id::{LogHash, ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::Path;

const ISSUER: &str = "https://id.example";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(lines)) = (args.next(), args.next()) else {
        return Err("make_export DIR LINES".into());
    };
    let (dir, lines) = (Path::new(&dir), lines.parse()?);
    fs::create_dir_all(dir)?;
    let origin = Origin::of_lane(ISSUER, 0).ok_or("no origin")?;
    let signer = CheckpointSigner::from_seed(origin, [7; 32]);
    let to = |name: &str| File::create(dir.join(name)).map(BufWriter::new);
    let origin = signer.verifier().origin().to_string();
    let mut writer = Writer::begin(to(EVENTS)?, to(PROOFS)?, &origin, lines)?;
    let mut edge = Edge::empty();
    for index in 0..lines {
        let line = line(index)?;
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
        files: vec![entry(EVENTS)?, entry(CHECKPOINT)?, entry(PROOFS)?],
    };
    fs::write(dir.join(MANIFEST), manifest.render()?)?;
    println!("{} lines, {} bytes", done.lines, done.events_bytes);
    Ok(())
}

fn line(index: u64) -> Result<String, String> {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let subject = SubjectKey::from_bytes(id);
    let at = UnixMillis(1_790_000_000_000 + index);
    let event = Event {
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
            at,
            Action::RequestAllowed,
            Outcome::Success,
            Actor::Subject(subject),
        )
    };
    let position = Position {
        index,
        lane: 0,
        producer: ProducerId::from_bytes([3; 16]),
        sequence: index,
        received: at,
        committed: at,
    };
    let place = Place::from(&position);
    let text = personal(&event).map_err(|error| error.to_string())?;
    let sealed = text.and_then(|text| {
        PersonKey::from_bytes([1; 32])
            .leaf(place)
            .seal(place, &text)
    });
    render(&event, None, sealed.as_deref(), &position).map_err(|error| format!("{error:?}"))
}
