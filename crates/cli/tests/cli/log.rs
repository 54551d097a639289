//! A log that is served as the service does: checkpoint, key, tiles and bundles, and nothing else.

use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::line::{Position, render};
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::{Hash, Head, bundle, hashes_to_bytes, leaf_hash};
use portcullis_core::audit::personal::Disclosure;
use portcullis_core::audit::sealed::{self, PersonKey, SealedLine, personal};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where the service says what of its log is gone.
const RETENTION: &str = "/v1/audit/retention";
/// Where it says which log it has.
const KEY: &str = "/v1/audit/key";

/// A log in this process, for as long as that runs.
pub struct Served {
    /// The service's base URL.
    pub url: String,
    /// The log's public key.
    pub vkey: String,
    /// The lines.
    pub lines: Vec<String>,
    lane: Arc<Lane>,
}

struct Lane {
    /// Below which the log is served.
    prefix: String,
    lines: Vec<String>,
    upper: Vec<Vec<Hash>>,
    signer: CheckpointSigner,
    head: Head,
    /// Paths that are not there.
    lost: Mutex<BTreeSet<String>>,
    /// Lines below are gone.
    pruned_to: AtomicU64,
    asked: Mutex<Vec<String>>,
}

fn person_key() -> PersonKey {
    PersonKey::from_bytes([5; 32])
}

/// A line: every third is a kill, and one was committed each second.
fn line(index: u64) -> String {
    let action = if index.is_multiple_of(3) {
        Action::Kill
    } else {
        Action::RequestAllowed
    };
    let at = UnixMillis(1000 * index);
    let request = RequestFacts {
        method: "GET".into(),
        host: "api.example".into(),
        path: format!("/{index}"),
        user_agent: Some("ua".into()),
        ..RequestFacts::default()
    };
    let event = Event {
        client_id: Some("=1+1".into()),
        request: Some(request),
        ..Event::new(
            at,
            action,
            Outcome::Success,
            Actor::Operator("admin".into()),
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
    let place = sealed::Place::from(&position);
    let text = personal(&event).expect("renders").expect("something");
    let sealed = person_key().leaf(place).seal(place, &text);
    render(&event, None, sealed.as_deref(), &position).expect("renders")
}

impl Served {
    /// A log of so many lines.
    pub fn of(size: u64) -> Self {
        Self::of_epoch(size, 0)
    }

    /// A log of so many lines, which is not the lane's first.
    pub fn of_epoch(size: u64, epoch: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let log = LogId { lane: 0, epoch };
        let origin = Origin::of_log(&url, log).expect("an origin");
        let lines: Vec<String> = (0..size).map(line).collect();
        let (mut edge, mut upper) = (Edge::empty(), vec![Vec::new(); 3]);
        for line in &lines {
            let leaf = leaf_hash(line.as_bytes());
            let mut complete = Vec::new();
            edge.append(leaf, &mut complete);
            upper[0].push(leaf);
            for found in complete {
                upper[usize::from(found.level)].push(found.hash);
            }
        }
        let signer = CheckpointSigner::from_seed(origin, [7; 32]);
        let vkey = signer.verifier().to_vkey();
        let lane = Arc::new(Lane {
            prefix: format!("/audit/lane/{log}/"),
            lines: lines.clone(),
            upper,
            signer,
            head: edge.head(),
            lost: Mutex::default(),
            pruned_to: AtomicU64::new(0),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&lane);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, lane) = (stream.expect("a caller"), Arc::clone(&serving));
                std::thread::spawn(move || lane.answer(&stream));
            }
        });
        Self {
            url,
            vkey,
            lines,
            lane,
        }
    }

    /// The key of another log of that service.
    pub fn key_of(url: &str, epoch: u32) -> String {
        let origin = Origin::of_log(url, LogId { lane: 0, epoch }).expect("an origin");
        let signer = CheckpointSigner::from_seed(origin, [8; 32]);
        signer.verifier().to_vkey()
    }

    /// Has it not have that, or have it again.
    pub fn lose(&self, path: &str, lost: bool) {
        let mut paths = self.lane.lost.lock().expect("a lock");
        if lost {
            paths.insert(path.to_owned());
        } else {
            paths.remove(path);
        }
    }

    /// Has lines below that index be gone, which is a multiple of 256.
    pub fn prune(&self, to: u64) {
        self.lane.pruned_to.store(to, Ordering::Relaxed);
    }

    /// What it was asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lane.asked.lock().expect("a lock"))
    }
}

fn bundle_place(path: &str) -> Option<Place> {
    let EntryBundle(place) = EntryBundle::parse(path.strip_prefix("tile/entries/")?)?;
    Some(place)
}

impl Lane {
    fn answer(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        reader.read_line(&mut request).expect("a line");
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a line");
            if header.trim().is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let path = path
            .strip_prefix(self.prefix.as_str())
            .unwrap_or(path)
            .to_owned();
        let lost = self.lost.lock().expect("a lock").contains(&path);
        let body = if lost { None } else { self.body(&path) };
        let pruned_to = self.pruned_to.load(Ordering::Relaxed);
        let (head, body) = match body {
            Some(body) if path == RETENTION || path == KEY => {
                ("200 x\r\ncontent-type: application/json", body)
            }
            Some(_) if bundle_place(&path).is_some_and(|place| place.first() < pruned_to) => (
                "410 x\r\ncontent-type: application/problem+json",
                format!("{{\"title\":\"Gone\",\"detail\":\"below {pruned_to}\"}}").into_bytes(),
            ),
            Some(body) => ("200 x\r\ncontent-type: application/octet-stream", body),
            None => (
                "404 x\r\ncontent-type: application/problem+json",
                b"{}".to_vec(),
            ),
        };
        self.asked.lock().expect("a lock").push(path);
        let head = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    }

    fn body(&self, path: &str) -> Option<Vec<u8>> {
        match path {
            "checkpoint" => return self.signer.sign(&self.head).ok(),
            "key" => return Some(format!("{}\n", self.signer.verifier().to_vkey()).into_bytes()),
            KEY => {
                let vkey = self.signer.verifier().to_vkey();
                return Some(serde_json::json!({"vkey": vkey}).to_string().into_bytes());
            }
            RETENTION => {
                let to = self.pruned_to.load(Ordering::Relaxed);
                // Each line was committed a second after the one before.
                let until = to
                    .checked_sub(1)
                    .map(|last| UnixMillis(last * 1000).to_rfc3339());
                let body = serde_json::json!({"pruned_to": to, "pruned_until": until});
                return Some(body.to_string().into_bytes());
            }
            _ => {}
        }
        let span = |first: u64, end: u64| {
            let at = |index: u64| usize::try_from(index).expect("small");
            at(first)..at(end)
        };
        if let Some(place) = bundle_place(path) {
            let lines = self.lines.get(span(place.first(), place.end()))?;
            return bundle::encode(lines.iter().map(String::as_bytes));
        }
        if let Some(query) = path.strip_prefix("/v1/audit/disclosures?from=") {
            let (from, to) = query.split_once("&to=")?;
            return Some(self.disclosures(from.parse().ok()?, to.parse().ok()?));
        }
        let HashTile { level, place } = HashTile::parse(path.strip_prefix("tile/")?)?;
        let hashes = self.upper.get(usize::from(level))?;
        Some(hashes_to_bytes(
            hashes.get(span(place.first(), place.end()))?,
        ))
    }
    /// A hundred lines at a time; every fifth line was erased.
    fn disclosures(&self, from: u64, to: u64) -> Vec<u8> {
        let end = to.min(from + 100);
        let lines = self.lines.iter().filter_map(|line| SealedLine::parse(line));
        let lines = lines.filter(|line| (from..end).contains(&line.index));
        let lines = lines.filter(|line| !line.index.is_multiple_of(5));
        let keys = lines.map(|line| {
            let leaf = person_key().leaf(line.place);
            Disclosure::new(line.index, *leaf.as_bytes())
        });
        let keys: Vec<Disclosure> = keys.collect();
        let next = (end < to).then_some(end);
        let page = serde_json::json!({"disclosures": keys, "next": next});
        page.to_string().into_bytes()
    }
}
