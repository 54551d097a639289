//! Measures the running stack against the targets of the design: a table on stdout, and
//! `target/bench/NAME.json` in the checkout.
//!
//! Exit codes: 0 measured, whatever came of it; 1 it could not be measured; 2 the command line makes
//! no sense.

mod audit;
mod connection;
mod cpu;
mod es256;
mod gateway;
mod kill;
mod load;
mod open_loop;
mod peer;
mod prepare;
mod report;
mod scim;
mod statistics;
mod strict_check;
mod threads;
mod tokens;
mod view;
mod wire;
mod work;

use portcullis_e2e::Result;
use portcullis_e2e::stack::checkout;
use report::Report;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
cargo xtask bench [NAME]... [--seconds S] [--rounds R] [--json]: measure against the targets.

  strict-check   POST /v1/check against a hand-written Worker that only answers \"ok\"
  tokens         code -> token and refresh, beside npm oidc-provider in memory
  gateway        through the gateway: not checked, by its view, strictly; that view alone, with a
                 million live revocations; and an identity provider's RS256 token
  kill           from the acknowledgement of a kill to the last request that passed, at several gateways under
                 load, with the feed delayed, cut and crashed; 25 kills for each second
  audit          events into the log, what they cost, questions at up to a million events, exports
  scim           provisioning with 1,000, 10,000 and 100,000 users; five minutes go to seeding and log-ins
                 (without a name, each of them)
  --seconds S    length of one measurement (2)
  --rounds R     measurements of each, interleaved; the median counts (5)
  --users N      scim: users of the largest directory (100000)
  --events N     audit: events of the largest log (1000000); half a kilobyte of disk each
  --full         audit: 10000000 events, as the targets have it
  --json         print the report instead of a table
  --help

The report is also written to target/bench/NAME.json.
Exit codes: 0 measured, 1 it could not be measured, 2 bad command line.
";

/// A measurement and its name.
type Measurement = (&'static str, fn(&Options) -> Result<Report>);

const MEASUREMENTS: [Measurement; 6] = [
    (strict_check::NAME, strict_check::measure),
    (tokens::NAME, tokens::measure),
    (gateway::NAME, gateway::measure),
    (kill::NAME, kill::measure),
    (scim::NAME, scim::measure),
    (audit::NAME, audit::measure),
];

/// What every measurement needs to know.
pub struct Options {
    chosen: Vec<Measurement>,
    seconds: Duration,
    rounds: usize,
    users: usize,
    events: u64,
    json: bool,
    help: bool,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut chosen = options.chosen.iter();
    match chosen.try_for_each(|(_, measure)| publish(&measure(&options)?, options.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn publish(report: &Report, json: bool) -> Result {
    let directory = checkout()?.join("target/bench");
    fs::create_dir_all(&directory)?;
    let text = report.to_json();
    fs::write(
        directory.join(format!("{}.json", report.name)),
        format!("{text}\n"),
    )?;
    if json {
        println!("{text}");
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}

fn parse() -> std::result::Result<Options, lexopt::Error> {
    use lexopt::{Arg::Long, Arg::Short, Arg::Value, Parser, ValueExt};
    let mut parser = Parser::from_env();
    let mut options = Options {
        chosen: Vec::new(),
        seconds: Duration::from_secs(2),
        rounds: 5,
        users: 100_000,
        events: audit::USUAL,
        json: false,
        help: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Value(name) => {
                let known = MEASUREMENTS.iter().find(|(known, _)| name == *known);
                let unknown = || format!("there is no measurement `{}`", name.to_string_lossy());
                options.chosen.push(*known.ok_or_else(unknown)?);
            }
            Long("seconds") => {
                let seconds: f64 = parser.value()?.parse()?;
                if !(0.1..=600.0).contains(&seconds) {
                    return Err("--seconds is between 0.1 and 600".into());
                }
                options.seconds = Duration::from_secs_f64(seconds);
            }
            Long("rounds") => {
                options.rounds = parser.value()?.parse()?;
                if options.rounds == 0 {
                    return Err("--rounds is at least 1".into());
                }
            }
            Long("users") => {
                options.users = parser.value()?.parse()?;
                if !(1_000..=1_000_000).contains(&options.users) {
                    return Err("--users is between 1000 and 1000000".into());
                }
            }
            Long("events") => {
                options.events = parser.value()?.parse()?;
                if !(100_000..=100_000_000).contains(&options.events) {
                    return Err("--events is between 100000 and 100000000".into());
                }
            }
            Long("full") => options.events = audit::FULL,
            Long("json") => options.json = true,
            Long("help") | Short('h') => options.help = true,
            other => return Err(other.unexpected()),
        }
    }
    if options.chosen.is_empty() {
        options.chosen = MEASUREMENTS.to_vec();
    }
    Ok(options)
}
