//! Work that is done for many, several at a time.

use portcullis_e2e::{Failure, Result};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many at a time.
const THREADS: usize = 8;

/// What `make` makes of each, in their order.
pub fn in_threads<P: Send, T: Send>(
    people: &mut [P],
    make: impl Fn(&mut P) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let results = Mutex::new(Vec::new());
    let share = people.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| -> Result {
        let (make, results) = (&make, &results);
        let threads: Vec<_> = people
            .chunks_mut(share)
            .enumerate()
            .map(|(chunk, people)| {
                scope.spawn(move || -> Result {
                    for (index, person) in people.iter_mut().enumerate() {
                        let of_it = make(person)?;
                        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                        results.push((chunk, index, of_it));
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a thread panicked")))?;
        }
        Ok(())
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(chunk, index, _)| (*chunk, *index));
    Ok(results
        .into_iter()
        .flat_map(|(_, _, of_it)| of_it)
        .collect())
}
