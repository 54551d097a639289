//! What is asked of a lane in a round.

use super::model::Identity;
use super::{Asked, World};
use crate::objects::lane::archive_tests::{Slow, polled};
use crate::objects::lane::tests::{kills, pack, query};
use crate::objects::sql::SqlError;
use portcullis_core::audit::call::{Append, GetBundle};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::bundle;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::{Cursor, Order};
use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::rc::Rc;

/// Somebody who sends events, and keeps all packs of theirs: any may come again.
pub struct Producer {
    number: u8,
    next_sequence: u64,
    packs: Vec<Pack>,
    /// A pack that comes later than its successors.
    kept_back: Option<Pack>,
}

impl Producer {
    pub const fn new(number: u8) -> Self {
        Self {
            number,
            next_sequence: 1,
            packs: Vec::new(),
            kept_back: None,
        }
    }

    fn new_pack(&mut self, events: u64) -> Pack {
        let pack = pack(self.number, self.next_sequence, events);
        self.next_sequence += events;
        self.packs.push(pack.clone());
        pack
    }
}

fn identities(packs: &[Pack]) -> BTreeSet<Identity> {
    let of = |pack: &Pack| {
        let producer = pack.producer;
        let sequences = (pack.first_sequence..).take(pack.events.len());
        sequences
            .map(move |sequence| (producer, sequence))
            .collect::<Vec<_>>()
    };
    packs.iter().flat_map(of).collect()
}

/// Packs of a batch: new ones, ones that came before, ones that overlap these, and ones that come late.
fn any_packs(world: &mut World) -> Vec<Pack> {
    let mut packs = Vec::new();
    for _ in 0..=world.dice.below(3) {
        let dice = &mut world.dice;
        let at = dice.below(world.producers.len() as u64);
        let producer = &mut world.producers[usize::try_from(at).expect("small")];
        match dice.below(6) {
            0 if !producer.packs.is_empty() => packs.push(dice.one_of(&producer.packs).clone()),
            1 if producer.next_sequence > 1 => {
                let first = 1 + dice.below(producer.next_sequence - 1);
                let events = 1 + dice.below(20);
                producer.next_sequence = producer.next_sequence.max(first + events);
                packs.push(pack(producer.number, first, events));
            }
            2 if producer.kept_back.is_none() => {
                producer.kept_back = Some(producer.new_pack(1 + dice.below(8)));
            }
            3 if producer.kept_back.is_some() => packs.extend(producer.kept_back.take()),
            _ => packs.push(producer.new_pack(1 + dice.below(16))),
        }
    }
    packs
}

/// The queue has a batch, and has it again until it is acknowledged.
pub fn packs(world: &mut World) -> Asked {
    let packs = any_packs(world);
    Box::new(move |world| take(world, &packs))
}

/// All of the packs' new events are in afterwards, or none: then it failed.
fn take(world: &mut World, packs: &[Pack]) -> Result<(), SqlError> {
    let sent = identities(packs);
    let before = world.model.has(&sent);
    world.model.again += before as u64;
    world.model.sent.extend(sent.iter().copied());
    let append = Append {
        received: world.now,
        packs: packs.to_vec(),
    };
    let done = world.lane().append(append, world.now);
    world.look();
    let after = world.model.has(&sent);
    assert!(after == before || after == sent.len(), "a part of them");
    let done = done?;
    assert_eq!(
        (after, done.next_index),
        (sent.len(), world.model.lines.len() as u64)
    );
    world.model.accepted.extend(sent);
    Ok(())
}

fn a_read(world: &World) -> Event {
    Event::new(
        world.now,
        Action::AuditRead,
        Outcome::Success,
        Actor::Anonymous,
    )
}

/// Somebody reads a page of kills.
pub fn page(world: &mut World) -> Asked {
    let order = *world.dice.one_of(&[Order::Oldest, Order::Newest]);
    let index = world.dice.below(world.model.lines.len() as u64 + 1);
    let cursor = (world.dice.below(2) == 0).then_some(Cursor { order, index });
    let limit = 1 + u32::try_from(world.dice.below(100)).expect("small");
    Box::new(move |world| {
        world.model.reads_asked += 1;
        let mut asked = query(kills(), order, cursor, limit);
        asked.read = Some(a_read(world));
        let page = world.lane().query(asked, world.now)?;
        world.model.reads_done += 1;
        let lines = world.model.lines.iter().enumerate();
        let is_wanted = |(at, line): &(usize, &Vec<u8>)| {
            let is_there = cursor.is_none_or(|cursor| match order {
                Order::Oldest => *at as u64 >= cursor.index,
                Order::Newest => (*at as u64) < cursor.index,
            });
            is_there && str::from_utf8(line).is_ok_and(|line| line.contains(r#""action":"kill""#))
        };
        let mut expected: Vec<&[u8]> = lines.filter(is_wanted).map(|(_, line)| &line[..]).collect();
        if order == Order::Newest {
            expected.reverse();
        }
        assert!(page.lines.len() <= limit as usize);
        assert!(page.next.is_some() || page.lines.len() == expected.len());
        assert!(
            page.lines
                .iter()
                .map(String::as_bytes)
                .eq(expected.into_iter().take(page.lines.len()))
        );
        Ok(())
    })
}

/// Somebody reads a bundle.
pub fn bundle(world: &mut World) -> Asked {
    let lines = world.model.lines.len() as u64;
    let number = world.dice.below(lines / 256 + 1);
    let width = (lines - number * 256).min(256);
    let width = world.dice.below(width + 1);
    Box::new(move |world| {
        world.model.reads_asked += 1;
        let asked = GetBundle {
            epoch: 0,
            number,
            width,
            read: a_read(world),
        };
        let found = world.lane().bundle(asked, world.now)?.expect("a tree");
        let Some(found) = found else {
            assert_eq!(width, 0);
            return Ok(());
        };
        world.model.reads_done += 1;
        let first = usize::try_from(number * 256).expect("small");
        let end = first + usize::try_from(width).expect("small");
        let entries = bundle::decode(&found).expect("a bundle");
        assert!(entries == world.model.lines[first..end]);
        Ok(())
    })
}

/// Somebody wants a checkpoint.
pub fn checkpoint(_: &mut World) -> Asked {
    Box::new(|world| checkpoint_before(world, 0, &[]))
}

/// The alarm rings.
pub fn alarm(_: &mut World) -> Asked {
    Box::new(|world| alarm_before(world, 0, &[]))
}

/// What the alarm does waits for the archive, and meanwhile packs come.
pub fn alarm_while_packs_come(world: &mut World) -> Asked {
    let (packs, polls) = (any_packs(world), world.dice.below(12));
    Box::new(move |world| alarm_before(world, polls, &packs))
}

/// The same while a checkpoint waits.
pub fn checkpoint_while_packs_come(world: &mut World) -> Asked {
    let (packs, polls) = (any_packs(world), world.dice.below(5));
    Box::new(move |world| checkpoint_before(world, polls, &packs))
}

/// The object is evicted somewhere in the alarm: it stops there, and no code of it runs any more.
pub fn object_dies_in_the_alarm(world: &mut World) -> Asked {
    let polls = world.dice.below(12);
    Box::new(move |world| {
        let archive = Slow(&world.archive);
        drop(polled(pin!(world.lane().archive_tiles(&archive)), polls));
        world.die();
        Ok(())
    })
}

/// It is evicted after it signed, before or after the archive has that, and nobody gets it.
pub fn object_dies_before_its_checkpoint_is_told(world: &mut World) -> Asked {
    let polls = world.dice.below(5);
    Box::new(move |world| {
        let archive = Slow(&world.archive);
        let signing = world.lane().checkpoint(&archive, world.now);
        drop(polled(pin!(signing), polls));
        world.die();
        Ok(())
    })
}

/// It is evicted between two calls.
pub fn object_dies(_: &mut World) -> Asked {
    Box::new(|world| {
        world.die();
        Ok(())
    })
}

/// A checkpoint that is asked for a little before these packs come.
fn checkpoint_before(world: &mut World, polls: u64, packs: &[Pack]) -> Result<(), SqlError> {
    let (lane, archive) = (Rc::clone(world.lane()), Rc::clone(&world.archive));
    let archive = Slow(&archive);
    let signed = beside(
        world,
        pin!(lane.checkpoint(&archive, world.now)),
        polls,
        packs,
    )?;
    world.look();
    world.model.got(&signed.expect("nothing was restored"));
    Ok(())
}

/// An alarm that rings a little before these packs come.
fn alarm_before(world: &mut World, polls: u64, packs: &[Pack]) -> Result<(), SqlError> {
    let (lane, archive) = (Rc::clone(world.lane()), Rc::clone(&world.archive));
    let archive = Slow(&archive);
    beside(world, pin!(lane.archive_tiles(&archive)), polls, packs)
}

/// What comes of it, if packs come when it was polled so often.
fn beside<T>(
    world: &mut World,
    mut future: Pin<&mut impl Future<Output = Result<T, SqlError>>>,
    polls: u64,
    packs: &[Pack],
) -> Result<T, SqlError> {
    let early = polled(future.as_mut(), polls);
    let taken = if packs.is_empty() {
        Ok(())
    } else {
        let taken = take(world, packs);
        world.may_fail_again();
        taken
    };
    let done = early.or_else(|| polled(future, 10_000));
    taken.and(done.expect("the archive answers"))
}
