//! Tokens of an identity provider, RS256 with 2048 bits: what accepting them costs at the check, when they are
//! remembered and when they are not, and through the gateway, beside a token of our own of the same person. And what
//! it costs the gateway to be as sure as a route wants it: by its signature alone, by its own view of what was
//! revoked, or by asking.
//!
//! Latencies are of an open loop at half of what the same round's closed loop came to. Rounds are
//! interleaved, because a machine's speed drifts; ratios are taken within each round. A first round is not
//! counted. Before each measurement the stack comes to rest: what the gateway sends to the log is
//! written down later.

use crate::Options;
use crate::cpu;
use crate::load::Target;
use crate::open_loop;
use crate::report::Report;
use crate::statistics::median;
use crate::view;
use crate::work::work_through;
use portcullis_e2e::api::bearer;
use portcullis_e2e::connection::Connection;
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::unix_secs;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::sync::Arc;

pub const NAME: &str = "gateway";

/// The person whose tokens are measured.
const USER: &str = "alice";
/// Whom the provider's tokens are for.
const AUDIENCE: &str = "api://app";
/// How many tokens a round verifies for the first time; the service remembers no more than a thousand.
const FIRST_TIMES: u32 = 500;
/// What the p99 of a remembered token's verification should stay below.
const TARGET_P99_MS: f64 = 30.0;

/// A stack and a connection that accepts its provider's tokens.
struct Bench {
    connection: Connection,
    /// Process group of the stack.
    group: u32,
}

impl Bench {
    fn start() -> Result<Self> {
        let stack = Arc::new(Stack::start_with(&Settings {
            bench: true,
            gateway_file: Some("bench/gateway.toml"),
            // So that tokens are newer than the feed.
            vars: vec!["TEST_FEED_AGE_MS=600000".to_owned()],
            ..Settings::default()
        })?);
        let group = stack
            .group()
            .ok_or_else(|| Failure::new("the stack does not run"))?;
        let accepting = json!({"tokens": {"audiences": [AUDIENCE], "algorithms": ["RS256"]}});
        let usual = |client| client;
        let connection = Connection::at(Site::at(stack)?, usual, &accepting)?;
        Ok(Self { connection, group })
    }

    /// A token of the provider's that was never seen; `jti` tells it from others.
    fn token(&self, jti: &str) -> Result<String> {
        let now = unix_secs();
        let claims = json!({
            "iss": self.connection.upstream.issuer, "sub": USER, "aud": AUDIENCE, "jti": jti,
            "iat": now - 60, "exp": now + 3000, "azp": "cli", "scp": ["read", "write"],
        });
        let upstream = &self.connection.upstream;
        upstream.token_with("RS256", &claims, &json!({}))
    }

    /// The check of a token by whom a gateway asks.
    fn check(&self, token: &str) -> Result<Target> {
        let url = format!("{}/v1/check", self.connection.endpoints().service);
        let service = format!("Bearer {}", bearer::GATEWAY);
        let headers = [
            ("Authorization", service.as_str()),
            ("Content-Type", "application/json"),
        ];
        let body = json!({ "token": token }).to_string();
        Target::new("POST", &url, &headers, &body, r#""verdict":"active""#)
    }

    /// A request with a token of that subject's, through the gateway to the origin and back.
    fn through_gateway(&self, path: &str, token: &str, subject: &str) -> Result<Target> {
        let person = format!("Bearer {token}");
        let passed = format!("\"portcullis-subject\":\"{subject}\"");
        let url = format!("{}{path}", self.connection.endpoints().gateway);
        Target::new("GET", &url, &[("Authorization", &person)], "", &passed)
    }

    /// Waits until the stack has done what it had put off.
    fn come_to_rest(&self) -> Result {
        cpu::come_to_rest(self.group)
    }
}

/// One way to present a token: its metrics' prefix, what the table says of it, and one value per round.
struct Way {
    prefix: &'static str,
    note: &'static str,
    /// Answers a second, closed loop.
    most: Vec<f64>,
    /// Requests a second, open loop.
    sent: Vec<f64>,
    p50_ms: Vec<f64>,
    p95_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Way {
    const fn new(prefix: &'static str, note: &'static str) -> Self {
        Self {
            prefix,
            note,
            most: Vec::new(),
            sent: Vec::new(),
            p50_ms: Vec::new(),
            p95_ms: Vec::new(),
            p99_ms: Vec::new(),
        }
    }

    fn round(&mut self, bench: &Bench, target: &Target, options: &Options) -> Result {
        bench.come_to_rest()?;
        let (most, _) = target.run(options.seconds)?;
        bench.come_to_rest()?;
        let half = most / 2.0;
        let mut latencies = open_loop::run(target, half, options.seconds)?;
        self.most.push(most);
        self.sent.push(half);
        self.p50_ms.push(latencies.percentile(50));
        self.p95_ms.push(latencies.percentile(95));
        self.p99_ms.push(latencies.percentile(99));
        Ok(())
    }

    fn report_most(&self, report: &mut Report) {
        let metric = format!("{}_req_per_s", self.prefix);
        report.row(metric, median(&self.most), "1/s", self.note);
    }

    fn report_open(&self, report: &mut Report, target_p99_ms: Option<f64>) {
        let metric = |name: &str| format!("{}_open_{name}", self.prefix);
        let note = "requests a second, open loop: half of the above";
        report.row(metric("req_per_s"), median(&self.sent), "1/s", note);
        let note = "latency from when it was due";
        report.row(metric("p50_ms"), median(&self.p50_ms), "ms", note);
        report.row(metric("p95_ms"), median(&self.p95_ms), "ms", note);
        let p99_ms = median(&self.p99_ms);
        match target_p99_ms {
            Some(target) => report.below(&metric("p99_ms"), p99_ms, "ms", target, note),
            None => report.row(metric("p99_ms"), p99_ms, "ms", note),
        }
    }
}

/// Checks a second of tokens that were never seen, in a closed loop.
fn first_times(bench: &Bench, round: usize) -> Result<f64> {
    let targets = (0..FIRST_TIMES)
        .map(|number| bench.check(&bench.token(&format!("first-{round}-{number}"))?))
        .collect::<Result<Vec<_>>>()?;
    let address = targets.first().map(Target::address).unwrap_or_default();
    bench.come_to_rest()?;
    let mut waiting = targets.iter();
    let done = work_through(address, |_, answer| {
        if let (Some(answer), Some(target)) = (answer, targets.first()) {
            target.expect(answer)?; // the same of all
        }
        Ok(waiting.next().map(|target| target.request().to_vec()))
    })?;
    Ok(done.latencies.per_second(done.elapsed))
}

/// All that is measured.
struct Ways {
    check: Way,
    /// Checks a second of tokens never seen before.
    first: Vec<f64>,
    signature: Way,
    bounded: Way,
    unrecorded: Way,
    own: Way,
    gateway: Way,
    view: view::Figures,
}

impl Ways {
    fn new() -> Self {
        Self {
            signature: Way::new(
                "signature_gateway",
                "GET through the gateway to the origin and back, our own token, not checked",
            ),
            bounded: Way::new(
                "bounded_gateway",
                "the same, checked by the gateway's view of the feed",
            ),
            unrecorded: Way::new(
                "unrecorded_gateway",
                "the same on a route that leaves no event of what passes",
            ),
            view: view::Figures::default(),
            check: Way::new(
                "check",
                "POST /v1/check by a provider's RS256 token, remembered",
            ),
            first: Vec::new(),
            own: Way::new("own_gateway", "the same, checked strictly"),
            gateway: Way::new("gateway", "the same with the provider's token, remembered"),
        }
    }

    fn round(&mut self, number: usize, bench: &Bench, options: &Options) -> Result {
        // Of each round, for tokens live for minutes only.
        let token = bench.token(&format!("round-{number}"))?;
        self.check.round(bench, &bench.check(&token)?, options)?;
        self.first.push(first_times(bench, number)?);
        let tokens = bench.connection.log_in(USER)?;
        let through = |path, token| bench.through_gateway(path, token, &tokens.subject);
        let own = |path| through(path, &tokens.access);
        self.signature
            .round(bench, &own("/signature/x")?, options)?;
        self.bounded.round(bench, &own("/bounded/x")?, options)?;
        self.unrecorded
            .round(bench, &own("/unrecorded/x")?, options)?;
        self.own.round(bench, &own("/")?, options)?;
        self.gateway.round(bench, &through("/", &token)?, options)?;
        self.view.round(bench.connection.endpoints())
    }

    fn report(&self, report: &mut Report) {
        self.view.report(report);
        self.signature.report_most(report);
        self.signature.report_open(report, None);
        self.bounded.report_most(report);
        self.bounded.report_open(report, Some(TARGET_P99_MS));
        let ratios = pairs(&self.bounded.most, &self.signature.most, |with, without| {
            with / without
        });
        let note = "bounded / not checked, within each round";
        report.at_least("bounded_ratio", median(&ratios), "x", 0.9, note);
        self.unrecorded.report_most(report);
        self.unrecorded.report_open(report, None);
        self.check.report_most(report);
        self.check.report_open(report, Some(TARGET_P99_MS));
        let note = "the same by tokens never seen before, closed loop";
        report.row("first_check_req_per_s", median(&self.first), "1/s", note);
        let more = pairs(&self.first, &self.check.most, |first, again| {
            1000.0 / first - 1000.0 / again
        });
        let note = "what a first one takes longer: RS256 in wasm";
        report.row("first_check_more_ms", median(&more), "ms", note);
        self.own.report_most(report);
        self.own.report_open(report, None);
        self.gateway.report_most(report);
        self.gateway.report_open(report, Some(TARGET_P99_MS));
        let ratios = pairs(&self.gateway.most, &self.own.most, |theirs, ours| {
            theirs / ours
        });
        let note = "provider's token / our own, within each round";
        report.row("gateway_ratio", median(&ratios), "x", note);
    }
}

pub fn measure(options: &Options) -> Result<Report> {
    let bench = Bench::start()?;
    eprintln!("warming up");
    let mut warm = Ways::new();
    warm.round(0, &bench, options)?;
    let mut ways = Ways::new();
    ways.view.grown_as(&warm.view);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        ways.round(round, &bench, options)?;
    }
    let preface = format!(
        "closed loop with 16 connections, and open loop at half of what that came to;\n\
         medians of {} interleaved rounds of {} s",
        options.rounds,
        options.seconds.as_secs_f64()
    );
    let mut report = Report::new(NAME, preface);
    ways.report(&mut report);
    Ok(report)
}

/// `with` of the two values of each round.
fn pairs(one: &[f64], other: &[f64], with: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let rounds = one.iter().zip(other);
    rounds.map(|(one, other)| with(*one, *other)).collect()
}
