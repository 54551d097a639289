//! Provisioning: what an identity provider can change and ask in a second, what that is with a hundred times as many
//! users, and how soon a change is in force.
//!
//! Three services run side by side, with 1,000, 10,000 and 100,000 users, so that rounds can be interleaved over
//! the sizes too. All users are provisioned over HTTP, one by one. State is in memory where the system has a file
//! system for that (`/dev/shm`), unless `TMPDIR` says where: the local runtime keeps each object in a file of its own,
//! and a deactivation of somebody who never logged in makes one.

mod denial;
mod directory;
mod group;
mod rates;

use crate::Options;
use crate::report::Report;
use denial::Denials;
use directory::{AT_ONCE, Directory, Kind};
use portcullis_e2e::{Failure, Result};
use rates::{Aim, Rates};
use std::time::Instant;

pub const NAME: &str = "scim";

/// How many people are deactivated in a round while they are logged in.
const DENIED_EACH: usize = 50;
/// For so many users there is a group.
const USERS_A_GROUP: usize = 100;
/// How many are in the group that is removed, at most; and of so many users there is one in it.
const MEMBERS: usize = 2_000;
const USERS_A_MEMBER: usize = 5;

/// What is measured at every size, in the order of a round.
const KINDS: [(Kind, &str, &str, Aim); 4] = [
    (
        Kind::Patch,
        "patch",
        "PATCH of an attribute, each of another user",
        Aim {
            per_second: Some(300.0),
            p95_ms: Some(100.0),
        },
    ),
    (Kind::ByUserName, "by_user_name", "GET by userName", FIND),
    (
        Kind::ByExternalId,
        "by_external_id",
        "GET by externalId",
        FIND,
    ),
    (Kind::ByAddress, "by_address", "GET by emails.value", FIND),
];

const FIND: Aim = Aim {
    per_second: None,
    p95_ms: Some(20.0),
};

const OUT: Aim = Aim {
    per_second: Some(100.0),
    p95_ms: Some(100.0),
};

/// A directory, and what was measured there, for each of the kinds.
struct Size {
    directory: Directory,
    rates: [Rates; KINDS.len()],
}

impl Size {
    fn start(users: usize, people: usize) -> Result<Self> {
        let begun = Instant::now();
        let directory = Directory::start(users, people)?;
        let groups = users / USERS_A_GROUP;
        group::seed(&directory, groups)?;
        let took = begun.elapsed().as_secs_f64();
        eprintln!("{users} users and {groups} groups provisioned in {took:.0} s");
        Ok(Self {
            directory,
            rates: KINDS.map(|_| Rates::default()),
        })
    }
}

pub fn measure(options: &Options) -> Result<Report> {
    let members = MEMBERS.min(options.users / USERS_A_MEMBER);
    let denied = DENIED_EACH * (options.rounds + 1);
    let people = denied + members;
    let sizes = [options.users / 100, options.users / 10, options.users];
    let [_, _, most] = sizes;
    let mut sizes = sizes
        .into_iter()
        .map(|users| Size::start(users, if users == most { people } else { 0 }))
        .collect::<Result<Vec<_>>>()?;
    let largest = sizes.last_mut();
    let largest = &mut largest.ok_or_else(|| Failure::new("no size"))?.directory;
    // What the largest refuses, as too many users would have to be looked at, is not measured elsewhere either.
    let mut answered = [false; KINDS.len()];
    for ((kind, ..), answered) in KINDS.iter().zip(&mut answered) {
        *answered = largest.answers(*kind)?;
    }
    let mut out = Rates::default();
    let mut denials = Denials::default();
    for round in 0..=options.rounds {
        match round {
            0 => eprintln!("warming up"),
            round => eprintln!("round {round} of {}", options.rounds),
        }
        let counted = round > 0;
        for (at, (kind, ..)) in KINDS.iter().enumerate() {
            for size in &mut sizes {
                let rates = size
                    .rates
                    .get_mut(at)
                    .filter(|_| answered.get(at) == Some(&true));
                let Some(rates) = rates else { continue };
                let measured = size.directory.run(*kind, options.seconds)?;
                if counted {
                    rates.push(measured);
                }
            }
        }
        let largest = sizes.last_mut();
        let largest = &mut largest.ok_or_else(|| Failure::new("no size"))?.directory;
        let measured = largest.run(Kind::Deactivate, options.seconds)?;
        if counted {
            out.push(measured);
        }
        let people = DENIED_EACH * round..DENIED_EACH * (round + 1);
        let people = denial::log_in(largest, people)?;
        let mut uncounted = Denials::default();
        let denials = if counted {
            &mut denials
        } else {
            &mut uncounted
        };
        denials.round(largest, &people)?;
    }
    eprintln!("a group of {members} is made");
    let largest = sizes.last().ok_or_else(|| Failure::new("no size"))?;
    let removal = group::measure(&largest.directory, denied..people)?;
    let mut report = report(options, &sizes, &out, &denials);
    removal.report(&mut report);
    Ok(report)
}

fn report(options: &Options, sizes: &[Size], out: &Rates, denials: &Denials) -> Report {
    let preface = format!(
        "{AT_ONCE} connections in a closed loop, medians of {} interleaved rounds of {} s, with {} users",
        options.rounds,
        options.seconds.as_secs_f64(),
        options.users,
    );
    let mut report = Report::new(NAME, preface);
    let [small, medium, large] = sizes else {
        return report;
    };
    for ((_, prefix, note, aim), rates) in KINDS.into_iter().zip(&large.rates) {
        if rates.is_measured() {
            rates.report(&mut report, prefix, note, aim);
        } else {
            let note = "refused: there is no index for it";
            report.row(format!("{prefix}_per_s"), 0.0, "1/s", note);
        }
    }
    let note = "PATCH of active to false, each of another user who never logged in";
    out.report(&mut report, "deactivate", note, OUT);
    denials.report(&mut report);
    let note = "with the most users / with the fewest, within each round";
    for (at, (_, prefix, ..)) in KINDS.into_iter().enumerate() {
        let rates = [small, medium, large].map(|size| size.rates.get(at));
        let [Some(few), Some(more), Some(most)] = rates else {
            continue;
        };
        if most.is_measured() {
            for (size, rates) in [(small, few), (medium, more)] {
                rates.report_growth(&mut report, prefix, size.directory.users());
            }
            let ratio = most.median_ratio(few);
            report.row(format!("{prefix}_growth"), ratio, "x", note);
        }
    }
    report
}
