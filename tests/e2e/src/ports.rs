//! Ports for a stack: a run of consecutive ones that nobody holds.

use crate::{Failure, Result};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Service, gateway, identity provider, origin; and, which few stacks have, three to measure, what fails as it is
/// told to or a fourth to measure, and two more gateways.
pub const PER_STACK: u16 = 10;

/// What a program says of a port that somebody took first.
pub(crate) const TAKEN: &str = "cannot be used: EADDRINUSE";

/// Below the range from which systems take ports for outgoing connections.
const FIRST: u16 = 20_000;
const RUNS: u16 = 1_250;

/// Where this process looks next.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of [`PER_STACK`] consecutive free ports.
///
/// Free now: somebody may take one before the stack does, so a caller tries again with another run
/// when its stack says so. Processes begin at different places, to meet seldom.
pub fn free_run() -> Result<u16> {
    let offset = u16::try_from(std::process::id() % u32::from(RUNS)).unwrap_or(0);
    for _ in 0..RUNS {
        let run = (offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % RUNS;
        let first = FIRST + run * PER_STACK;
        if all_free(first, PER_STACK) {
            return Ok(first);
        }
    }
    Err(Failure::new(format!(
        "no {PER_STACK} consecutive free ports between {FIRST} and {}",
        FIRST + RUNS * PER_STACK
    )))
}

/// Whether each of `count` ports from `first` on can be listened on.
#[must_use]
pub fn all_free(first: u16, count: u16) -> bool {
    (first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}
