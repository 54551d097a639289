//! What a route records of the requests that it lets pass. Denials of those who are known are
//! always recorded, before they are told.

use super::claim::Claim;
use crate::caller::Caller;

/// What is recorded, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// How many.
    pub sample: Sample,
    /// Whether one may be lost.
    pub loss: Loss,
    /// The claims of its sender that are recorded with it, and with a denial.
    pub claims: Vec<Claim>,
}

impl Audit {
    /// What is recorded of `caller`: what has a value.
    #[must_use]
    pub fn claims_of(&self, caller: &Caller) -> Vec<(String, String)> {
        let claims = self.claims.iter();
        claims
            .map(|claim| {
                (
                    claim.to_string(),
                    claim.values(caller).join(claim.separator()),
                )
            })
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

/// The share of requests that is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample(f64);

/// Whether the event of a request that passes may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// It is sent while the request is forwarded, with the status that the origin answered. It is lost if the
    /// queue refuses it, or the isolate ends first.
    #[default]
    Tolerate,
    /// It is on the queue before the request is forwarded, so without a status. A request whose event
    /// the queue refuses is answered 503.
    Wait,
}

/// What is to be done about an event of a request that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Nothing.
    None,
    /// Send it while the request is forwarded.
    OffThePath,
    /// Send it, and only then forward.
    BeforeForwarding,
}

impl Sample {
    /// That share; `None` if it is not of `0..=1`.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share.
    #[must_use]
    pub const fn share(self) -> f64 {
        self.0
    }

    /// Whether chance has a say.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self.0 > 0.0 && self.0 < 1.0
    }

    /// Whether a request is recorded for which chance has drawn this number.
    #[must_use]
    pub fn takes(self, draw: u32) -> bool {
        f64::from(draw) < self.0 * 4_294_967_296.0
    }
}

/// All of them.
impl Default for Sample {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Audit {
    /// What to do about a request that passes and for which chance has drawn this number.
    #[must_use]
    pub fn recording(&self, draw: u32) -> Recording {
        match (self.sample.takes(draw), self.loss) {
            (false, _) => Recording::None,
            (true, Loss::Tolerate) => Recording::OffThePath,
            (true, Loss::Wait) => Recording::BeforeForwarding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_between_none_and_all() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY, -f64::INFINITY] {
            assert_eq!(Sample::new(bad), None, "{bad}");
        }
        let (none, all) = (Sample::new(0.0).expect("none"), Sample::default());
        for draw in [0, 1, u32::MAX / 2, u32::MAX] {
            assert!(!none.takes(draw) && all.takes(draw));
        }
        assert!(!none.is_partial() && !all.is_partial());
    }

    #[test]
    fn what_is_taken_is_recorded_as_the_loss_policy_says() {
        let audit = |share, loss| Audit {
            sample: Sample::new(share).expect("a share"),
            loss,
            claims: Vec::new(),
        };
        let half = 1 << 31;
        assert_eq!(audit(0.5, Loss::Wait).recording(half), Recording::None);
        assert_eq!(
            audit(0.5, Loss::Wait).recording(half - 1),
            Recording::BeforeForwarding
        );
        assert_eq!(
            audit(1.0, Loss::Tolerate).recording(u32::MAX),
            Recording::OffThePath
        );
    }

    proptest! {
        #[test]
        fn a_larger_share_takes_what_a_smaller_takes(
            a in 0.0..=1.0f64,
            b in 0.0..=1.0f64,
            draw: u32,
        ) {
            let (small, large) = (Sample(a.min(b)), Sample(a.max(b)));
            prop_assert!(!small.takes(draw) || large.takes(draw));
        }
    }
}
