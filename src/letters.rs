//! Dead letters on their way to the lane: what was given back of packs, and what came by the queue and is none.

use crate::objects::call::{self, CallError};
use portcullis_core::audit::call::Aside;
use portcullis_core::audit::letters::{Keep, Letter, Reason};
use portcullis_core::audit::pack::Pack;
use worker::{Env, console_error};

/// Keeps letters; of each whether it is kept now. Not all are if there is no room.
pub async fn keep(env: &Env, letters: Vec<Letter>) -> Result<Vec<bool>, CallError> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    for letter in &letters {
        console_error!(
            "audit: dead letter {}: {}",
            letter.id(),
            letter.reason.as_str()
        );
    }
    let kept = call::lane(env, Keep { letters }).await?.kept;
    if kept.contains(&false) {
        console_error!(
            "audit: the lane has no room for dead letters: replay or discard some, or events are lost"
        );
    }
    Ok(kept)
}

/// The letters of what was given back of one pack, which stands under the log's name for its producer.
pub fn of_pack(pack: &Pack, at: usize, set_aside: &[Aside]) -> Result<Vec<Letter>, CallError> {
    let of_it = set_aside.iter().filter(|aside| aside.pack as usize == at);
    let of_it = of_it.map(|aside| (aside.sequence, Reason::from(aside.why)));
    Letter::of_set_aside(pack, of_it).ok_or_else(|| CallError::refused("events cannot be kept"))
}

/// Keeps what was given back of packs. Once this is done it is kept, and who sent the packs may forget them.
pub async fn keep_set_aside(
    env: &Env,
    packs: &[Pack],
    set_aside: &[Aside],
) -> Result<(), CallError> {
    if set_aside.is_empty() {
        return Ok(());
    }
    let mut letters = Vec::new();
    for (at, pack) in packs.iter().enumerate() {
        letters.extend(of_pack(pack, at, set_aside)?);
    }
    if keep(env, letters).await?.contains(&false) {
        return Err(CallError::refused("no room for dead letters"));
    }
    Ok(())
}
