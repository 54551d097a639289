//! How soon the first page of an answer is there, and how that grows with the log.

use super::events::{RARE_EACH, address, mixed, person, rare_session, stranger};
use super::lane::Filled;
use crate::Options;
use crate::connection::{Answer, Connection, readable, request};
use crate::report::Report;
use crate::statistics::{median, percentile};
use portcullis_e2e::api::bearer;
use portcullis_e2e::{Failure, Result};
use url::Url;

/// How often each kind is asked in a round, each time of something else.
const ASKED_EACH: u64 = 20;
/// Targets of the first page.
const P95_MS: f64 = 100.0;
const GROWTH: f64 = 2.0;

type Parameters = Vec<(&'static str, String)>;

/// A kind of question.
struct Kind {
    name: &'static str,
    note: &'static str,
    parameters: fn(&Filled, u64) -> Parameters,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "newest",
        note: "the newest, without a filter",
        parameters: |_, _| vec![],
    },
    Kind {
        name: "person",
        note: "one of 1,000 people",
        parameters: |_, asked| vec![("subject", person(mixed(asked)).to_string())],
    },
    Kind {
        name: "session",
        note: "a session of ten events, anywhere",
        parameters: |filled, asked| {
            let rare = mixed(asked) % (filled.events / RARE_EACH).max(1);
            vec![("session", rare_session(rare).to_string())]
        },
    },
    Kind {
        name: "denied",
        note: "requests that a gateway denied, three of a hundred",
        parameters: |_, _| vec![("action", "request.denied".to_owned())],
    },
    Kind {
        name: "middle",
        note: "a time in the middle of the log",
        parameters: |filled, asked| {
            let first = filled.events / 4 + mixed(asked) % (filled.events / 2);
            let last = first + 1_000;
            vec![
                ("from", filled.at(first).to_rfc3339()),
                ("to", filled.at(last).to_rfc3339()),
            ]
        },
    },
    Kind {
        name: "ip",
        note: "an address that one person has",
        parameters: |_, asked| vec![("ip", address(mixed(asked)))],
    },
    Kind {
        name: "none",
        note: "somebody of whom nothing is there",
        parameters: |_, asked| vec![("subject", stranger(asked).to_string())],
    },
];

/// How long answers took at one size, by kind: milliseconds.
struct Size {
    filled: Filled,
    took: [Vec<f64>; KINDS.len()],
}

/// What the plot shows: for each kind that is answered, its name and (events, p95 in milliseconds).
pub type Growth = Vec<(&'static str, Vec<(u64, f64)>)>;

/// Measures and reports; what the plot shows, and the largest log.
pub fn measure(options: &Options, report: &mut Report) -> Result<(Growth, Filled)> {
    let sizes = [options.events / 100, options.events / 10, options.events];
    let mut sizes = sizes
        .into_iter()
        .map(Size::start)
        .collect::<Result<Vec<_>>>()?;
    let mut answered = [false; KINDS.len()];
    if let Some(size) = sizes.first() {
        for (kind, answered) in KINDS.iter().zip(&mut answered) {
            let mut connection = size.connection()?;
            *answered = size.ask(&mut connection, kind, 0)?.is_some();
        }
    }
    let mut asked = 0;
    for round in 0..=options.rounds {
        match round {
            0 => eprintln!("warming up"),
            round => eprintln!("round {round} of {}", options.rounds),
        }
        for (at, kind) in KINDS.iter().enumerate() {
            if answered.get(at) != Some(&true) {
                continue;
            }
            for size in &mut sizes {
                let mut connection = size.connection()?;
                for number in asked..asked + ASKED_EACH {
                    let took = size.ask(&mut connection, kind, number)?;
                    let took = took.ok_or_else(|| Failure::new("it was answered before"))?;
                    if round > 0
                        && let Some(all) = size.took.get_mut(at)
                    {
                        all.push(took);
                    }
                }
            }
        }
        asked += ASKED_EACH;
    }
    let growth = reported(report, &sizes, answered);
    let largest = sizes.pop().ok_or_else(|| Failure::new("no log"))?;
    Ok((growth, largest.filled))
}

fn reported(report: &mut Report, sizes: &[Size], answered: [bool; KINDS.len()]) -> Growth {
    let mut growth = Growth::new();
    let (mut worst, mut steepest) = (0.0_f64, 0.0_f64);
    for ((at, kind), answered) in KINDS.iter().enumerate().zip(answered) {
        if !answered {
            report.row(
                format!("query_{}_ms", kind.name),
                0.0,
                "ms",
                "refused: there is no such filter",
            );
            continue;
        }
        let mut points = Vec::new();
        for size in sizes {
            let took = size.took.get(at).map_or(&[][..], Vec::as_slice);
            let (p50, p95) = (median(took), percentile(took, 95));
            points.push((size.filled.events, p95));
            let note = format!(
                "p95, of {} events (p50 {p50:.1} ms): {}",
                size.filled.events, kind.note
            );
            report.row(
                format!("query_{}_{}_ms", kind.name, size.filled.events),
                p95,
                "ms",
                &note,
            );
        }
        if let (Some((_, few)), Some((_, many))) = (points.first(), points.last()) {
            worst = worst.max(*many);
            steepest = steepest.max(many / few);
            report.row(
                format!("query_{}_growth", kind.name),
                many / few,
                "x",
                "p95, most events / fewest",
            );
        }
        growth.push((kind.name, points));
    }
    let most = sizes.last().map_or(0, |size| size.filled.events);
    let of = format!("of {most} events, of the slowest kind; the target is for 10,000,000");
    report.at_most("query_p95_ms", worst, "ms", P95_MS, &of);
    report.at_most(
        "query_growth",
        steepest,
        "x",
        GROWTH,
        "with a hundred times the events, of the steepest kind",
    );
    growth
}

impl Size {
    fn start(events: u64) -> Result<Self> {
        Ok(Self {
            filled: Filled::start(events)?,
            took: Default::default(),
        })
    }

    /// A connection that was not idle for so long that it is closed.
    fn connection(&self) -> Result<Connection> {
        let service = Url::parse(&self.filled.stack.at.service)?;
        Connection::open(service.authority())
    }

    /// Asks for a first page, newest first, and says how long that took in milliseconds; `None` if that cannot be asked.
    fn ask(&self, connection: &mut Connection, kind: &Kind, number: u64) -> Result<Option<f64>> {
        let mut url = Url::parse(&format!("{}/v1/audit/events", self.filled.stack.at.service))?;
        url.query_pairs_mut()
            .append_pair("order", "newest")
            .extend_pairs((kind.parameters)(&self.filled, number));
        let bearer = format!("Bearer {}", bearer::AUDITOR);
        let asked = request("GET", &url, &[("Authorization", &bearer)], "");
        let answer = answer(connection, &asked)?;
        match answer.status {
            200 => Ok(Some(answer.latency.as_secs_f64() * 1000.0)),
            400 => Ok(None),
            status => Err(Failure::new(format!("{}: answered {status}", kind.name))),
        }
    }
}

fn answer(connection: &mut Connection, asked: &[u8]) -> Result<Answer> {
    connection.send(asked)?;
    loop {
        readable(std::slice::from_ref(connection))?;
        if let Some(answer) = connection.read()? {
            return Ok(answer);
        }
    }
}
