//! The life of a signing key, without storage, clock or randomness.
//!
//! ```text
//! next ── its time comes ──> signing ── another's time comes ──> retiring ──> retired ──> forgotten
//!   └───────────────────────────┴──────────── compromised ──────────┴────────────┘
//! ```
//!
//! | state | signs | published | verifies |
//! |---|---|---|---|
//! | next | no | yes | tokens |
//! | signing | yes | yes | tokens |
//! | retiring | no | yes | tokens |
//! | retired | no; the private half is destroyed | no | log-out hints, which may have expired |
//! | compromised | no | no | nothing |
//!
//! Three rules make a rotation something that nobody notices:
//! - A key is published before it signs: longer than any cache of the key set lives.
//! - It stays published for longer than any token that it signed, and than any isolate that has
//!   not noticed that another signs now.
//! - At every moment one key signs.
//!
//! A compromise breaks the first rule, knowingly: the fresh key signs at once, and whoever has
//! the set from before looks again when they meet its `kid`.
//!
//! States follow from a few times that are stored, so nothing has to happen at the moment when a key
//! begins to sign: whoever holds the keys knows ([`Keyring::signing`]).

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long keys sign, and how long before and after they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a key signs until the schedule has another sign, in seconds.
    pub period_secs: u64,
    /// How long the schedule publishes a key before it signs, in seconds.
    pub ahead_secs: u64,
    /// The same for a rotation on demand: longer than any cache of the key set that we know of. An
    /// isolate keeps keys for a minute, and so may caches of the set over HTTP; our gateways look
    /// again after five minutes, the usual libraries after ten.
    pub ahead_on_demand_secs: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            period_secs: 30 * DAY_SECS,
            ahead_secs: 2 * DAY_SECS,
            ahead_on_demand_secs: 15 * 60,
        }
    }
}

const DAY_SECS: u64 = 24 * 60 * 60;
/// How long a key stays published once another signs, in seconds. Tokens live for minutes.
pub const RETIRING_SECS: u64 = DAY_SECS;
/// How long a retired or compromised key is remembered after that, in seconds: as long as the
/// longest session, for its ID token may come back as a hint.
pub const REMEMBERED_SECS: u64 = 31 * DAY_SECS;
/// The most keys that are published at a time: verifiers read no more of a set than so many.
pub const MAX_PUBLISHED: usize = 16;
/// The most keys that are remembered besides; the oldest goes first.
pub const MAX_REMEMBERED: usize = 32;

/// What is known of a key, but for the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name: the RFC 7638 thumbprint.
    pub kid: String,
    /// When it was made and published.
    pub created_at: UnixMillis,
    /// From when it signs, if no later key does.
    pub signs_from: UnixMillis,
    /// When it was declared compromised.
    pub compromised_at: Option<UnixMillis>,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, and does not sign yet.
    Next,
    /// The one that signs.
    Signing,
    /// Still published for the tokens that it signed.
    Retiring,
    /// Not published any more.
    Retired,
    /// Good for nothing.
    Compromised,
}

/// The keys in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<Key>,
}

/// What has to be done now. Doing it late does no harm: keys then sign for longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Make a key that signs from then.
    pub create: Option<UnixMillis>,
    /// Destroy the private halves of these.
    pub retire: Vec<String>,
    /// Forget these.
    pub forget: Vec<String>,
}

/// What a rotation on demand comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Make a key that signs from then.
    Create(UnixMillis),
    /// The key that is published already signs from then.
    BringForward(String, UnixMillis),
    /// The next key is on its way, as early as can be.
    UnderWay(String, UnixMillis),
    /// So many keys are published that another has to wait.
    TooMany,
}

/// What declaring a key compromised comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compromise {
    /// It is out of the set. If `replace`, a fresh key must sign at once.
    Drop {
        /// Whether it was the one that signs.
        replace: bool,
    },
    /// It was declared so before.
    Already(UnixMillis),
}

impl Keyring {
    /// The keyring of these keys, in the order in which they were made.
    #[must_use]
    pub const fn new(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key that signs. `None` before the first one is made.
    #[must_use]
    pub fn signing(&self, now: UnixMillis) -> Option<&Key> {
        // Of several that could, the one whose time came last, and of those the youngest.
        self.sound()
            .filter(|key| key.signs_from <= now)
            .max_by_key(|key| key.signs_from)
    }

    /// Where `key` is in its life.
    #[must_use]
    pub fn state(&self, key: &Key, now: UnixMillis) -> KeyState {
        if key.compromised_at.is_some() {
            KeyState::Compromised
        } else if now < key.signs_from {
            KeyState::Next
        } else if self.signing(now).is_some_and(|it| it.kid == key.kid) {
            KeyState::Signing
        } else if self.retires_at(key).is_some_and(|at| now < at) {
            KeyState::Retiring
        } else {
            KeyState::Retired
        }
    }

    /// The keys that are published.
    pub fn published(&self, now: UnixMillis) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            matches!(
                self.state(key, now),
                KeyState::Next | KeyState::Signing | KeyState::Retiring
            )
        })
    }

    /// When another key signs instead, if one is known that will.
    #[must_use]
    pub fn superseded_at(&self, key: &Key) -> Option<UnixMillis> {
        let at = self.position(key)?;
        let later = |(place, other): &(usize, &Key)| {
            other.compromised_at.is_none() && (other.signs_from, *place) > (key.signs_from, at)
        };
        let others = self.keys.iter().enumerate().filter(later);
        others.map(|(_, other)| other.signs_from).min()
    }

    /// When it leaves the set, as far as is known.
    #[must_use]
    pub fn retires_at(&self, key: &Key) -> Option<UnixMillis> {
        Some(self.superseded_at(key)?.plus_secs(RETIRING_SECS))
    }

    /// What is to be done by the schedule.
    #[must_use]
    pub fn due(&self, now: UnixMillis, timing: Timing) -> Due {
        let create = match self.signing(now) {
            None => Some(now),
            Some(_) if self.next(now).is_some() => None,
            Some(signing) => {
                let planned = signing.signs_from.plus_secs(timing.period_secs);
                let earliest = now.plus_secs(timing.ahead_secs);
                (planned <= earliest).then_some(earliest)
            }
        };
        let is = |state| move |key: &&Key| self.state(key, now) == state;
        let name = |key: &Key| key.kid.clone();
        let retired = || self.keys.iter().filter(is(KeyState::Retired));
        let compromised = self.keys.iter().filter(is(KeyState::Compromised));
        let mut forget: Vec<String> = retired()
            .chain(compromised)
            .filter(|key| self.forget_at(key).is_some_and(|at| at <= now))
            .map(name)
            .collect();
        let too_many = retired().count().saturating_sub(MAX_REMEMBERED);
        forget.extend(retired().take(too_many).map(name));
        forget.sort_unstable();
        forget.dedup();
        Due {
            create,
            retire: retired().map(name).collect(),
            forget,
        }
    }

    /// When [`due`](Self::due) will have something next.
    #[must_use]
    pub fn due_at(&self, now: UnixMillis, timing: Timing) -> UnixMillis {
        let rotation = match self.signing(now) {
            None => Some(now),
            Some(_) if self.next(now).is_some() => None,
            Some(signing) => {
                let lead = timing.period_secs.saturating_sub(timing.ahead_secs);
                Some(signing.signs_from.plus_secs(lead))
            }
        };
        let changes = self.keys.iter().filter_map(|key| {
            let moments = match self.state(key, now) {
                KeyState::Next => Some(key.signs_from),
                KeyState::Signing => None,
                KeyState::Retiring => self.retires_at(key),
                KeyState::Retired | KeyState::Compromised => self.forget_at(key),
            };
            moments.filter(|at| *at > now)
        });
        let rest = UnixMillis(now.0).plus_secs(timing.period_secs);
        changes.chain(rotation).fold(rest, UnixMillis::min)
    }

    /// Another key is wanted, before the schedule has one.
    #[must_use]
    pub fn rotate(&self, now: UnixMillis, timing: Timing) -> Rotation {
        match self.next(now) {
            Some(next) => {
                let published = next.created_at.plus_secs(timing.ahead_on_demand_secs);
                let earliest = published.max(now);
                if earliest < next.signs_from {
                    Rotation::BringForward(next.kid.clone(), earliest)
                } else {
                    Rotation::UnderWay(next.kid.clone(), next.signs_from)
                }
            }
            None if self.published(now).count() >= MAX_PUBLISHED => Rotation::TooMany,
            None => Rotation::Create(now.plus_secs(timing.ahead_on_demand_secs)),
        }
    }

    /// Somebody else may have this key. `None`: no such key is known.
    #[must_use]
    pub fn compromise(&self, kid: &str, now: UnixMillis) -> Option<Compromise> {
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        Some(match key.compromised_at {
            Some(at) => Compromise::Already(at),
            None => Compromise::Drop {
                replace: self.state(key, now) == KeyState::Signing,
            },
        })
    }

    /// The key that will sign next.
    fn next(&self, now: UnixMillis) -> Option<&Key> {
        self.sound()
            .filter(|key| key.signs_from > now)
            .min_by_key(|key| key.signs_from)
    }

    fn forget_at(&self, key: &Key) -> Option<UnixMillis> {
        let over = key.compromised_at.or_else(|| self.retires_at(key))?;
        Some(over.plus_secs(REMEMBERED_SECS))
    }

    fn sound(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.compromised_at.is_none())
    }

    fn position(&self, key: &Key) -> Option<usize> {
        self.keys.iter().position(|other| other.kid == key.kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ACCESS_TOKEN_TTL_SECS;
    use proptest::prelude::*;

    const START: UnixMillis = UnixMillis(1_800_000_000_000);
    /// How long an isolate goes on with the keys that it has.
    const ISOLATE_SECS: u64 = 60;

    /// A keyring that does what it is told, with tokens signed by it.
    struct World {
        keyring: Keyring,
        now: UnixMillis,
        made: u32,
        /// What an isolate that read the keys a while ago still has.
        seen: Keyring,
        seen_at: UnixMillis,
        /// Keys that had to sign at once.
        replacements: Vec<String>,
        /// Key and expiry of each token.
        tokens: Vec<(String, UnixMillis)>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Time passes, and the schedule runs at the end of it.
        Wait(u64),
        /// Time passes, and the schedule does not run.
        Sleep(u64),
        Rotate,
        Compromise(prop::sample::Index),
        /// An isolate signs, with the keys that it has.
        Sign,
    }

    impl World {
        fn new() -> Self {
            let mut world = Self {
                keyring: Keyring::default(),
                now: START,
                made: 0,
                seen: Keyring::default(),
                seen_at: START,
                replacements: vec!["k1".to_owned()],
                tokens: Vec::new(),
            };
            world.run_schedule();
            world.seen = world.keyring.clone();
            world
        }

        fn timing() -> Timing {
            Timing::default()
        }

        fn create(&mut self, signs_from: UnixMillis) {
            self.made += 1;
            self.keyring.keys.push(Key {
                kid: format!("k{}", self.made),
                created_at: self.now,
                signs_from,
                compromised_at: None,
            });
        }

        fn run_schedule(&mut self) {
            let due = self.keyring.due(self.now, Self::timing());
            if let Some(signs_from) = due.create {
                self.create(signs_from);
            }
            self.keyring
                .keys
                .retain(|key| !due.forget.contains(&key.kid));
        }

        fn key(&mut self, kid: &str) -> &mut Key {
            let keys = self.keyring.keys.iter_mut();
            keys.into_iter().find(|key| key.kid == kid).expect("known")
        }

        fn step(&mut self, step: &Step) {
            match step {
                Step::Wait(secs) | Step::Sleep(secs) => {
                    self.now = self.now.plus_secs(*secs);
                    if matches!(step, Step::Wait(_)) {
                        self.run_schedule();
                    }
                }
                Step::Rotate => match self.keyring.rotate(self.now, Self::timing()) {
                    Rotation::Create(signs_from) => self.create(signs_from),
                    Rotation::BringForward(kid, at) => self.key(&kid).signs_from = at,
                    Rotation::UnderWay(..) | Rotation::TooMany => {}
                },
                Step::Compromise(index) => {
                    let kid = index.get(self.keyring.keys()).kid.clone();
                    let outcome = self.keyring.compromise(&kid, self.now).expect("known");
                    if let Compromise::Drop { replace } = outcome {
                        let now = self.now;
                        self.key(&kid).compromised_at = Some(now);
                        if replace {
                            self.create(now);
                            self.replacements.push(format!("k{}", self.made));
                        }
                        // Every isolate hears of it within a second.
                        self.seen = self.keyring.clone();
                        self.seen_at = now;
                    }
                }
                Step::Sign => {
                    if self.seen_at.plus_secs(ISOLATE_SECS) <= self.now {
                        self.seen = self.keyring.clone();
                        self.seen_at = self.now;
                    }
                    let key = self.seen.signing(self.now).expect("one signs");
                    let expires_at = self.now.plus_secs(ACCESS_TOKEN_TTL_SECS);
                    self.tokens.push((key.kid.clone(), expires_at));
                }
            }
        }

        fn hold(&self) {
            let states: Vec<_> = self.keyring.keys.iter().collect();
            let signing = states
                .iter()
                .filter(|key| self.keyring.state(key, self.now) == KeyState::Signing);
            assert_eq!(signing.count(), 1, "{:?}", self.keyring);
            let published: Vec<_> = self.keyring.published(self.now).collect();
            assert!(published.len() <= MAX_PUBLISHED + 2, "{:?}", self.keyring);
            for (kid, expires_at) in &self.tokens {
                let known = self.keyring.keys.iter().find(|key| key.kid == *kid);
                let compromised = known.is_some_and(|key| key.compromised_at.is_some());
                let good = published.iter().any(|key| key.kid == *kid);
                assert!(good || compromised || *expires_at <= self.now, "{kid}");
            }
            for key in &self.keyring.keys {
                let ahead = Self::timing().ahead_on_demand_secs;
                let published_first = key.created_at.plus_secs(ahead) <= key.signs_from;
                assert!(
                    published_first || self.replacements.contains(&key.kid),
                    "{key:?}"
                );
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3 * DAY_SECS).prop_map(Step::Wait),
            2 => (0..7200_u64).prop_map(Step::Wait),
            1 => (0..40 * DAY_SECS).prop_map(Step::Sleep),
            3 => Just(Step::Rotate),
            1 => any::<prop::sample::Index>().prop_map(Step::Compromise),
            4 => Just(Step::Sign),
        ]
    }

    proptest! {
        #[test]
        fn one_key_signs_every_token_verifies_and_no_key_surprises(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut world = World::new();
            world.hold();
            for step in &steps {
                world.step(step);
                world.hold();
            }
        }

        #[test]
        fn the_schedule_is_woken_when_there_is_something_to_do_and_not_in_circles(
            steps in prop::collection::vec(step(), 0..30),
        ) {
            let mut world = World::new();
            for step in &steps {
                world.step(step);
            }
            for _ in 0..8 {
                world.run_schedule();
                let at = world.keyring.due_at(world.now, World::timing());
                prop_assert!(at > world.now);
                let before = UnixMillis(at.0 - 1);
                let due = world.keyring.due(before, World::timing());
                prop_assert_eq!(due.create, None);
                prop_assert_eq!(due.forget, Vec::<String>::new());
                world.now = at;
            }
        }
    }

    fn key(kid: &str, signs_from: UnixMillis) -> Key {
        Key {
            kid: kid.to_owned(),
            created_at: START,
            signs_from,
            compromised_at: None,
        }
    }

    #[test]
    fn a_month_goes_by_and_another_key_signs() {
        let mut world = World::new();
        world.step(&Step::Wait(27 * DAY_SECS));
        assert_eq!(world.keyring.keys.len(), 1);
        world.step(&Step::Wait(DAY_SECS));
        let next = world.keyring.keys[1].clone();
        assert_eq!(world.keyring.state(&next, world.now), KeyState::Next);
        assert_eq!(next.signs_from, START.plus_secs(30 * DAY_SECS));
        world.step(&Step::Wait(2 * DAY_SECS));
        let first = world.keyring.keys[0].clone();
        assert_eq!(world.keyring.state(&first, world.now), KeyState::Retiring);
        assert_eq!(world.keyring.state(&next, world.now), KeyState::Signing);
        world.step(&Step::Wait(DAY_SECS));
        assert_eq!(world.keyring.state(&first, world.now), KeyState::Retired);
        let due = world.keyring.due(world.now, World::timing());
        assert_eq!(due.retire, ["k1"]);
    }

    #[test]
    fn a_rotation_on_demand_waits_for_the_caches_and_a_second_one_for_the_first() {
        let mut world = World::new();
        world.step(&Step::Rotate);
        let ahead = World::timing().ahead_on_demand_secs;
        let at = START.plus_secs(ahead);
        let under_way = Rotation::UnderWay("k2".to_owned(), at);
        assert_eq!(world.keyring.rotate(world.now, World::timing()), under_way);
        world.step(&Step::Wait(ahead - 1));
        assert_eq!(world.keyring.signing(world.now).expect("one").kid, "k1");
        world.step(&Step::Wait(1));
        assert_eq!(world.keyring.signing(world.now).expect("one").kid, "k2");
    }

    #[test]
    fn a_key_that_has_long_been_published_can_sign_at_once() {
        let keyring = Keyring::new(vec![
            key("a", START),
            key("b", START.plus_secs(2 * DAY_SECS)),
        ]);
        let now = START.plus_secs(DAY_SECS);
        let expected = Rotation::BringForward("b".to_owned(), now);
        assert_eq!(keyring.rotate(now, Timing::default()), expected);
    }

    #[test]
    fn a_compromised_signing_key_is_replaced_at_once_and_another_is_not() {
        let mut keyring = Keyring::new(vec![key("a", START), key("b", START.plus_secs(1))]);
        let now = START.plus_secs(2);
        let drop = |replace| Some(Compromise::Drop { replace });
        assert_eq!(keyring.compromise("b", now), drop(true));
        assert_eq!(keyring.compromise("a", now), drop(false));
        assert_eq!(keyring.compromise("c", now), None);
        keyring.keys[0].compromised_at = Some(now);
        let already = Some(Compromise::Already(now));
        assert_eq!(keyring.compromise("a", now), already);
        let published: Vec<_> = keyring.published(now).map(|key| &key.kid).collect();
        assert_eq!(published, ["b"]);
    }

    #[test]
    fn who_rotates_without_end_is_told_to_wait() {
        let mut world = World::new();
        for _ in 0..2 * MAX_PUBLISHED {
            world.step(&Step::Rotate);
            world.step(&Step::Wait(World::timing().ahead_on_demand_secs));
        }
        let refused = world.keyring.rotate(world.now, World::timing());
        assert_eq!(refused, Rotation::TooMany);
        world.step(&Step::Wait(RETIRING_SECS));
        let allowed = world.keyring.rotate(world.now, World::timing());
        assert!(matches!(allowed, Rotation::Create(_)));
    }
}
