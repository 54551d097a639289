//! The audit log through crashes: while producers send, every process is killed with SIGKILL at any moment and started again on the
//! same state; then the log is taken away, verified and counted.
//!
//! What was acknowledged is in the log once, what was not is there once or not at all, no line is there twice, and every checkpoint that
//! anybody ever saw is of this one log, by another implementation of the tree. Of what a gateway let pass nothing is
//! acknowledged; and what a local queue had taken ends with its process, so that the gateway here has one that takes what it is sent and
//! fails: a denial goes by the queue and by the binding, and must be there once.
//!
//! `PORTCULLIS_AUDIT_CRASH_ROUNDS` sets the number of rounds.

mod producers;

use crate::audit_crash::producers::{PRODUCERS, Sent};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, RootHash};
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::audit::log::{Hash, Head, hashes_to_bytes};
use portcullis_e2e::api::Api;
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::audit_log::{Log, hashes};
use portcullis_e2e::cli::{portcullis, portcullis_alone};
use portcullis_e2e::scratch::Scratch;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

const ROUNDS: usize = 20;
/// Every so many rounds the crash comes while the service has just begun, and its alarms with it.
const EARLY: usize = 3;
/// Every so many there are new tokens: those that are there do not last for ever.
const NEW_TOKENS: usize = 10;
/// The latest crash of those, after all answers; and of the others, after something of each kind was acknowledged.
const LATEST_MS: [u32; 2] = [150, 1200];

/// The stack under test and what was seen of it; its addresses stay the same.
struct Crashing {
    stack: Stack,
    api: Api,
    log: Log,
    key: CheckpointVerifier,
    /// Whose tokens pass, and whose do not any more.
    alive: Tokens,
    dead: Tokens,
    sent: Mutex<Sent>,
    checkpoints: Mutex<Vec<Head>>,
}

fn settings() -> Settings {
    Settings {
        gateway_queue: Some("loses"),
        ..Settings::default()
    }
}

#[test]
fn whatever_was_acknowledged_before_a_crash_is_in_the_log_once_and_every_checkpoint_stays_true()
-> Result {
    let rounds = match env::var("PORTCULLIS_AUDIT_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse()?,
        Err(_) => ROUNDS,
    };
    let mut crashing = Crashing::start()?;
    for round in 0..rounds {
        if round % NEW_TOKENS == NEW_TOKENS - 1 {
            (crashing.alive, crashing.dead) = tokens(&crashing.stack, &crashing.api)?;
        }
        let is_early = round % EARLY == EARLY - 1;
        let latest = LATEST_MS[usize::from(!is_early)];
        let after = Duration::from_millis(u64::from(random()? % latest));
        let done = crashing.round(is_early, after);
        done.map_err(|failure| {
            let said = crashing.stack.output();
            Failure::new(format!(
                "round {round}, after {after:?}: {failure}\nthe stack said:\n{said}"
            ))
        })?;
    }
    crashing.recount(rounds)
}

fn random() -> Result<u32> {
    getrandom::u32().map_err(|error| Failure::new(error.to_string()))
}

/// Of somebody whose session lives, and of somebody whose does not any more.
fn tokens(stack: &Stack, api: &Api) -> Result<(Tokens, Tokens)> {
    let app = App::discover(&stack.at)?;
    let (alive, dead) = (app.log_in("alice")?, app.log_in("bob")?);
    let session = json!({ "subject": dead.subject, "session": dead.session });
    api.revoke(&session)?.expect(200)?;
    Ok((alive, dead))
}

impl Crashing {
    fn start() -> Result<Self> {
        let stack = Stack::start_with(&settings())?;
        let (api, log) = (Api::new(&stack.at), Log::new(&stack.at));
        let (alive, dead) = tokens(&stack, &api)?;
        Ok(Self {
            key: log.key()?,
            sent: Mutex::default(),
            checkpoints: Mutex::default(),
            stack,
            api,
            log,
            alive,
            dead,
        })
    }

    /// All producers send until all is killed.
    fn round(&mut self, is_early: bool, after: Duration) -> Result {
        let before = self.sent.lock().expect("a lock").by_kind();
        let is_over = &AtomicBool::new(false);
        let stack = &mut self.stack;
        let producing = producers::Producing {
            at: stack.at.clone(),
            api: &self.api,
            alive: &self.alive,
            dead: &self.dead,
            sent: &self.sent,
            is_over,
        };
        let (log, key, checkpoints) = (&self.log, &self.key, &self.checkpoints);
        thread::scope(|scope| -> Result {
            for producer in PRODUCERS {
                let producing = &producing;
                scope.spawn(move || {
                    while producing.goes_on() {
                        producer(producing);
                    }
                });
            }
            let watching = scope.spawn(move || -> Result {
                while !is_over.load(Ordering::Relaxed) {
                    // Whoever is killed in the middle has said nothing.
                    if let Ok(answer) = log.public("checkpoint")
                        && answer.status == 200
                    {
                        let head = key.open(&answer.bytes);
                        let head = head.map_err(|error| Failure::new(error.to_string()))?;
                        checkpoints.lock().expect("a lock").push(head);
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                Ok(())
            });
            // The object and the gateway need their time to begin; most crashes are to come when they work.
            let working = if is_early {
                Ok(())
            } else {
                until("something acknowledged of each kind", || {
                    let sent = self.sent.lock().expect("a lock");
                    Ok(sent.has_each_beyond(&before).then_some(()))
                })
            };
            thread::sleep(after);
            // Whoever is waiting for an answer goes on waiting, and nobody begins anew.
            is_over.store(true, Ordering::Relaxed);
            stack.kill_hard()?;
            working?;
            watching
                .join()
                .map_err(|_| Failure::new("a thread panicked"))?
        })?;
        self.stack.restart(&settings())
    }

    /// When all is quiet: takes the log away, verifies it, and counts.
    fn recount(&self, rounds: usize) -> Result {
        // Whoever was not told asks again.
        let unknown = std::mem::take(&mut self.sent.lock().expect("a lock").strangers);
        for name in unknown {
            producers::kill(&self.api, &self.sent, &name)?;
        }
        let sent = self.sent.lock().expect("a lock");
        let size = until("all that was acknowledged in the log", || {
            let head = self.log.head()?;
            let counts = Counts::of(&parsed(&self.log.entries(head.size)?)?)?;
            Ok(sent.missing(&counts.said).is_none().then_some(head.size))
        })?;
        let last = self.log.head_beyond(size - 1)?;
        let dir = Scratch::new("crash")?;
        let key = self.key.to_vkey();
        portcullis(
            &self.stack.at,
            &["audit", "export", &dir.shown(), "--key", &key],
        )?
        .expect(0)?;
        portcullis_alone(&["audit", "verify", &dir.shown(), "--key", &key])?.expect(0)?;
        let text = fs::read_to_string(dir.path.join("events.ndjson"))?;
        let lines: Vec<&str> = text.lines().collect();
        let counts = Counts::of(&parsed(&lines)?)?;
        assert_eq!(
            sent.missing(&counts.said),
            None,
            "acknowledged, and not in the log"
        );
        let twice = counts.said.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "twice in the log");
        let invented = counts.said.keys().find(|said| !sent.tried.contains(*said));
        assert_eq!(invented, None, "in the log, and never sent");
        counts.expect_no_holes(sent.tried.len() - sent.acknowledged.len())?;
        let checkpoints = self.checkpoints.lock().expect("a lock");
        self.expect_of_one_log(&checkpoints, last, &lines)?;
        // To the terminal also if the test passes.
        let acknowledged = sent.acknowledged.len();
        writeln!(
            io::stderr(),
            "audit crash: {rounds} restarts; {acknowledged} of {} events acknowledged {:?}; {} lines in the log, none lost, none twice; \
             {} checkpoints seen, of {} sizes, all of one log of {} lines",
            sent.tried.len(),
            sent.by_kind(),
            lines.len(),
            checkpoints.len(),
            sizes(&checkpoints).len(),
            last.size,
        )?;
        assert!(
            acknowledged >= rounds * 15 && checkpoints.len() >= rounds / 2,
            "too little happened"
        );
        Ok(())
    }

    /// Each checkpoint is of the tree of these lines, and its proof shows that to somebody who has none of them.
    fn expect_of_one_log(&self, seen: &[Head], last: Head, lines: &[&str]) -> Result {
        let mut roots = BTreeMap::new();
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let sizes = sizes(seen);
        for (size, line) in (1..).zip(lines) {
            tree.push(line.as_bytes().to_vec());
            if sizes.contains(&size) || size == last.size {
                roots.insert(size, tree.root());
            }
        }
        for head in seen.iter().chain([&last]).filter(|head| head.size > 0) {
            let root = roots
                .get(&head.size)
                .map(|root| Hash((*root.as_bytes()).into()));
            assert_eq!(root, Some(head.root), "a checkpoint of {} lines", head.size);
        }
        let newest = roots
            .get(&last.size)
            .ok_or_else(|| Failure::new("no last root"))?;
        for size in sizes
            .into_iter()
            .filter(|size| (1..last.size).contains(size))
        {
            let query = format!("consistency?from={size}&to={}", last.size);
            let answer = self.log.proof(&query)?.expect(200)?.json()?;
            let proof = hashes_to_bytes(&hashes(&answer)?);
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(proof);
            let proof = proof.map_err(|error| Failure::new(format!("{size}: {error:?}")))?;
            let older: &RootHash<Sha256> = &roots[&size];
            let shown = newest.verify_consistency(older, &proof);
            shown.map_err(|error| Failure::new(format!("{size}: {error:?}")))?;
        }
        Ok(())
    }
}

fn parsed(lines: &[impl AsRef<[u8]>]) -> Result<Vec<Value>> {
    let parsed = lines
        .iter()
        .map(|line| Ok(serde_json::from_slice(line.as_ref())?));
    parsed.collect()
}

fn sizes(heads: &[Head]) -> BTreeSet<u64> {
    heads.iter().map(|head| head.size).collect()
}

/// What the log has.
struct Counts {
    /// How often each event of ours is there, by what it is known by.
    said: BTreeMap<String, usize>,
    /// The sequences of each producer, and whether it is an object with an outbox.
    producers: BTreeMap<String, (BTreeSet<u64>, bool)>,
}

impl Counts {
    fn of(events: &[Value]) -> Result<Self> {
        let mut counts = Self {
            said: BTreeMap::new(),
            producers: BTreeMap::new(),
        };
        for event in events {
            let producer = event["producer"].as_str().unwrap_or_default().to_owned();
            let sequence = event["sequence"].as_u64().unwrap_or_default();
            let (sequences, has_outbox) = counts.producers.entry(producer).or_default();
            if !sequences.insert(sequence) {
                return Err(Failure::new(format!("twice in the log: {event}")));
            }
            *has_outbox |= event["action"] == "kill";
            if let Some(said) = producers::known_by(event) {
                *counts.said.entry(said).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// What an object stored is all delivered, from the first. Others may lack what was not acknowledged.
    fn expect_no_holes(&self, not_acknowledged: usize) -> Result {
        let mut holes = 0;
        for (producer, (sequences, has_outbox)) in &self.producers {
            let last = sequences.last().copied().unwrap_or_default();
            let missing = usize::try_from(last)? - sequences.len();
            assert!(missing == 0 || !has_outbox, "{producer} lacks {missing}");
            holes += missing;
        }
        assert!(
            holes <= not_acknowledged,
            "{holes} holes of {not_acknowledged}"
        );
        Ok(())
    }
}
