//! Tokens a second: ours, durable, beside npm `oidc-provider` with its store in memory, in one run.
//!
//! Both servers have one thread for requests, and this machine's processors are shared with the load
//! generator, so what counts is tokens for a second of processor time: that of every process of the
//! server, counted until half a second after the last answer, so that what was put off counts too.
//! Rounds are interleaved, because a machine's speed drifts; ratios are taken within each round. A first
//! round of each is not counted.

use crate::Options;
use crate::connection::Answer;
use crate::cpu;
use crate::es256;
use crate::peer::Peer;
use crate::prepare::Crowd;
use crate::report::Report;
use crate::statistics::median;
use crate::wire::find;
use crate::work::{Done, work_through};
use portcullis_e2e::app::App;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::{Failure, Result};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const NAME: &str = "tokens";

/// What is put off is done by then.
const SETTLED: Duration = Duration::from_millis(500);

/// One server and what was measured of it.
struct Server {
    prefix: &'static str,
    crowd: Crowd,
    /// Its process group.
    group: u32,
    codes: Rates,
    refreshes: Rates,
}

/// Which rates of a server.
type RatesOf = fn(&Server) -> &Rates;

/// One value per round.
#[derive(Default)]
struct Rates {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Rates {
    fn push(&mut self, done: Done, cpu: Duration) {
        let mut latencies = done.latencies;
        self.per_second.push(latencies.per_second(done.elapsed));
        self.per_cpu_second.push(latencies.per_second(cpu));
        self.p50_ms.push(latencies.percentile(50));
        self.p99_ms.push(latencies.percentile(99));
    }
}

impl Server {
    fn new(prefix: &'static str, app: App, group: u32) -> Self {
        Self {
            prefix,
            crowd: Crowd::new(app),
            group,
            codes: Rates::default(),
            refreshes: Rates::default(),
        }
    }

    fn round(&mut self, options: &Options, counted: bool) -> Result {
        let address = self.crowd.address()?;
        let mut redemptions = self.crowd.redemptions()?.into_iter();
        let (done, cpu) =
            self.measured(|_| work_through(&address, |_, _| Ok(redemptions.next())))?;
        if counted {
            self.codes.push(done, cpu);
        }
        let mut tokens = self.crowd.refresh_tokens()?;
        let (done, cpu) = self.measured(|crowd| {
            let end = Instant::now() + options.seconds;
            work_through(&address, |connection, answer| {
                let Some(token) = tokens.get_mut(connection) else {
                    return Ok(None);
                };
                if let Some(answer) = answer {
                    *token = successor(answer)?;
                }
                if Instant::now() >= end {
                    return Ok(None);
                }
                crowd.refresh(token).map(Some)
            })
        })?;
        if counted {
            self.refreshes.push(done, cpu);
        }
        Ok(())
    }

    /// What `work` gives back, and what processor time the server used for it.
    fn measured(&self, work: impl FnOnce(&Crowd) -> Result<Done>) -> Result<(Done, Duration)> {
        sleep(SETTLED); // what log-ins have put off
        let before = cpu::of_group(self.group)?;
        let done = work(&self.crowd)?;
        sleep(SETTLED);
        let after = cpu::of_group(self.group)?;
        Ok((done, after.saturating_sub(before)))
    }
}

/// The refresh token in an answer.
fn successor(answer: &Answer) -> Result<String> {
    const NAME: &[u8] = b"\"refresh_token\":\"";
    let rest = find(&answer.body, NAME).and_then(|at| answer.body.get(at + NAME.len()..));
    let token = rest
        .and_then(|rest| rest.split(|byte| *byte == b'"').next())
        .and_then(|token| std::str::from_utf8(token).ok());
    token
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("an answer without a refresh token"))
}

pub fn measure(options: &Options) -> Result<Report> {
    let stack = Stack::start_with(&Settings {
        bench: true,
        ..Settings::default()
    })?;
    let group = stack
        .group()
        .ok_or_else(|| Failure::new("the stack does not run"))?;
    let peer = Peer::start()?;
    let mut ours = Server::new("", App::discover(&stack.at)?, group);
    let mut theirs = Server::new("peer_", peer.app.clone(), peer.group());
    let mut signatures = es256::Rates::default();
    for round in 0..=options.rounds {
        match round {
            0 => eprintln!("warming up"),
            round => eprintln!("round {round} of {}", options.rounds),
        }
        for server in [&mut ours, &mut theirs] {
            server.round(options, round > 0)?;
        }
        if round > 0 {
            signatures.round(&stack.at)?;
        }
    }
    let mut report = report(options, &ours, &theirs);
    signatures.report(&mut report);
    Ok(report)
}

fn report(options: &Options, ours: &Server, theirs: &Server) -> Report {
    let preface = format!(
        "16 connections, closed loop, medians of {} interleaved rounds;\n\
         peer: npm oidc-provider, its store in memory",
        options.rounds
    );
    let mut report = Report::new(NAME, preface);
    let grants: [(&str, RatesOf); 2] = [
        ("code", |server| &server.codes),
        ("refresh", |server| &server.refreshes),
    ];
    for (grant, rates) in grants {
        for server in [ours, theirs] {
            let (rates, prefix) = (rates(server), format!("{}{grant}", server.prefix));
            let mut row = |name: &str, values: &[f64], unit, note| {
                report.row(format!("{prefix}_{name}"), median(values), unit, note);
            };
            row("per_s", &rates.per_second, "1/s", "answers a second");
            let note = "answers for a second of the server's processor time";
            row("per_cpu_s", &rates.per_cpu_second, "1/s", note);
            row("p50_ms", &rates.p50_ms, "ms", "latency at saturation");
            row("p99_ms", &rates.p99_ms, "ms", "latency at saturation");
        }
        let (ours, theirs) = (rates(ours), rates(theirs));
        let ratio = median(&ratios(&ours.per_cpu_second, &theirs.per_cpu_second));
        let note = "ours / peer, per core, within each round";
        report.at_least(&format!("{grant}_ratio_per_core"), ratio, "x", 1.0, note);
        let ratio = median(&ratios(&ours.per_second, &theirs.per_second));
        let note = "ours / peer, answers a second";
        report.row(format!("{grant}_ratio"), ratio, "x", note);
    }
    report
}

fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs);
    pairs.map(|(ours, theirs)| ours / theirs).collect()
}
