//! The strict check, against the least that a Worker and an object can do on the same runtime, and against a
//! library for Workers that validates its tokens from KV.
//!
//! Rounds are interleaved, because a machine's speed drifts; ratios are taken within each round.
//! The gateway comes after all of them: what it sends to the log is still being written down when
//! its own round is over, and would slow whoever comes next.

use crate::Options;
use crate::load::Target;
use crate::report::Report;
use crate::statistics::median;
use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::http::Request;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use serde_json::json;

pub const NAME: &str = "strict-check";

/// What is measured: its metrics' prefix, what the table says of it, and one median per round.
struct Subject {
    prefix: &'static str,
    note: &'static str,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Subject {
    const fn new(prefix: &'static str, note: &'static str) -> Self {
        Self {
            prefix,
            note,
            per_second: Vec::new(),
            p50_ms: Vec::new(),
            p99_ms: Vec::new(),
        }
    }

    fn round(&mut self, target: &Target, options: &Options) -> Result {
        let (per_second, mut latencies) = target.run(options.seconds)?;
        self.per_second.push(per_second);
        self.p50_ms.push(latencies.percentile(50));
        self.p99_ms.push(latencies.percentile(99));
        Ok(())
    }
}

pub fn measure(options: &Options) -> Result<Report> {
    let stack = Stack::start_with(&Settings {
        bench: true,
        ..Settings::default()
    })?;
    let app = App::discover(&stack.at)?;
    let mut check = Subject::new("check", "POST /v1/check by subject and session");
    let mut jwt = Subject::new(
        "jwt_check",
        "POST /v1/check by access token, its signature verified",
    );
    let mut floor = Subject::new(
        "floor",
        "hand-written JS Worker -> object that answers \"ok\"",
    );
    let mut peer = Subject::new(
        "peer",
        "npm @cloudflare/workers-oauth-provider validates a token from KV and answers \"ok\"",
    );
    let mut gateway = Subject::new("gateway", "GET through the gateway to the origin and back");
    let token = Request::get(format!("{}/new-token", stack.at.peer)).send()?;
    expect_eq("the peer's status", &token.status, &200)?;
    let peers_token = token.body;
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        // Of each round, for tokens live for minutes only.
        let targets = targets(&stack.at, &app.log_in("alice")?, &peers_token)?;
        check.round(&targets.check, options)?;
        floor.round(&targets.floor, options)?;
        peer.round(&targets.peer, options)?;
        jwt.round(&targets.jwt, options)?;
    }
    for _ in 0..options.rounds {
        let targets = targets(&stack.at, &app.log_in("alice")?, &peers_token)?;
        gateway.round(&targets.gateway, options)?;
    }
    Ok(report(options, &check, &floor, &peer, &jwt, &gateway))
}

struct Targets {
    check: Target,
    jwt: Target,
    floor: Target,
    peer: Target,
    gateway: Target,
}

fn targets(at: &Endpoints, tokens: &Tokens, peers_token: &str) -> Result<Targets> {
    let url = format!("{}/v1/check", at.service);
    let service = format!("Bearer {}", bearer::GATEWAY);
    let headers = [
        ("Authorization", service.as_str()),
        ("Content-Type", "application/json"),
    ];
    let pair = json!({ "subject": tokens.subject, "session": tokens.session }).to_string();
    let token = json!({ "token": tokens.access }).to_string();
    let active = r#""verdict":"active""#;
    let person = format!("Bearer {}", tokens.access);
    let passed = format!("\"portcullis-subject\":\"{}\"", tokens.subject);
    Ok(Targets {
        check: Target::new("POST", &url, &headers, &pair, active)?,
        jwt: Target::new("POST", &url, &headers, &token, active)?,
        floor: Target::new("GET", &at.floor, &[], "", "ok")?,
        peer: Target::new(
            "GET",
            &format!("{}/api", at.peer),
            &[("Authorization", &format!("Bearer {peers_token}"))],
            "",
            "ok",
        )?,
        gateway: Target::new(
            "GET",
            &at.gateway,
            &[("Authorization", &person)],
            "",
            &passed,
        )?,
    })
}

fn report(
    options: &Options,
    check: &Subject,
    floor: &Subject,
    peer: &Subject,
    jwt: &Subject,
    gateway: &Subject,
) -> Report {
    let preface = format!(
        "16 connections, closed loop, medians of {} interleaved rounds of {} s",
        options.rounds,
        options.seconds.as_secs_f64()
    );
    let ratio_to = |other: &Subject| {
        let rounds = check.per_second.iter().zip(&other.per_second);
        median(
            &rounds
                .map(|(check, other)| check / other)
                .collect::<Vec<_>>(),
        )
    };
    let mut report = Report::new(NAME, preface);
    let rate = |report: &mut Report, subject: &Subject| {
        let metric = format!("{}_req_per_s", subject.prefix);
        report.row(metric, median(&subject.per_second), "1/s", subject.note);
    };
    rate(&mut report, check);
    rate(&mut report, floor);
    report.at_least(
        "ratio",
        ratio_to(floor),
        "x",
        0.8,
        "check / floor, within each round",
    );
    rate(&mut report, peer);
    report.at_least(
        "peer_ratio",
        ratio_to(peer),
        "x",
        3.0,
        "check / peer, within each round",
    );
    rate(&mut report, jwt);
    rate(&mut report, gateway);
    for subject in [check, floor, peer, jwt, gateway] {
        for (name, values) in [("p50", &subject.p50_ms), ("p99", &subject.p99_ms)] {
            let metric = format!("{}_{name}_ms", subject.prefix);
            report.row(metric, median(values), "ms", "latency at saturation");
        }
    }
    report
}
