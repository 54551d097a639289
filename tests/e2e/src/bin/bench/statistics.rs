//! Medians and percentiles of what was measured.

use std::time::Duration;

/// The latencies of one run, in milliseconds.
#[derive(Default)]
pub struct Latencies {
    ms: Vec<f64>,
}

impl Latencies {
    /// One more.
    pub fn push(&mut self, latency: Duration) {
        self.ms.push(latency.as_secs_f64() * 1000.0);
    }

    /// How many there were in a second of `length`.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn per_second(&self, length: Duration) -> f64 {
        self.ms.len() as f64 / length.as_secs_f64()
    }

    /// The smallest that is not exceeded by this share of them (nearest rank).
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.ms.sort_by(f64::total_cmp);
        ranked(&self.ms, percent)
    }
}

/// The smallest that is not exceeded by this share of them (nearest rank).
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    ranked(&sorted, percent)
}

fn ranked(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The middle of them, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied();
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
    lower
        .zip(upper)
        .map_or(f64::NAN, |(lower, upper)| f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        near(median(&[3.0, 1.0, 2.0]), 2.0);
        near(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut latencies = Latencies::default();
        for ms in (1..=100).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        near(latencies.percentile(50), 50.0);
        near(latencies.percentile(99), 99.0);
        near(latencies.per_second(Duration::from_secs(2)), 50.0);
    }
}
