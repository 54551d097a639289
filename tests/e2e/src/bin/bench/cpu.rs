//! What a server's processes have used of the processor (`/proc/PID/stat`, see `proc(5)`).

use portcullis_e2e::{Failure, Result};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// Of one tick: `USER_HZ` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// How often it is looked whether a server is at rest, and the processor time that it uses then at most.
const LOOK: Duration = Duration::from_millis(250);
const AT_REST: Duration = Duration::from_millis(20);
const LOOKS: usize = 240;

/// Waits until the processes of the group have done what they had put off.
pub fn come_to_rest(group: u32) -> Result {
    for _ in 0..LOOKS {
        let before = of_group(group)?;
        sleep(LOOK);
        if of_group(group)?.saturating_sub(before) <= AT_REST {
            return Ok(());
        }
    }
    Err(Failure::new("the stack was not at rest within a minute"))
}

/// The processor time of every process of the group, and of their children that have ended.
pub fn of_group(group: u32) -> Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        // Gone since it was listed, or no process at all.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        ticks += ticks_if_in(&stat, group).unwrap_or(0);
    }
    if ticks == 0 {
        return Err(Failure::new(format!("no process is in group {group}")));
    }
    Ok(TICK.saturating_mul(ticks))
}

/// User and system time, own and waited-for children's, if the process is of that group.
fn ticks_if_in(stat: &str, group: u32) -> Option<u32> {
    // The name is in parentheses and may hold anything; after it come fields 3 and on.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    if number(5)? != group {
        return None;
    }
    Some(number(14)? + number(15)? + number(16)? + number(17)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_for_its_own_group_whatever_its_name() {
        let stat = "7 (a) b) S 1 5 5 0 -1 4194560 1 0 0 0 100 20 3 4 20 0 1 0 9 1 1";
        assert_eq!(ticks_if_in(stat, 5), Some(127));
        assert_eq!(ticks_if_in(stat, 7), None);
    }
}
