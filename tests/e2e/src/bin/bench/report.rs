//! What was measured, as a table and as JSON.

use serde_json::{Value, json};
use std::fmt::Write;

/// One measurement, with its rows.
pub struct Report {
    /// Its name, also of its file.
    pub name: &'static str,
    /// What the reader of the table should know.
    pub preface: String,
    rows: Vec<Row>,
}

struct Row {
    metric: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
    note: String,
}

#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Target {
    const fn bound(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) | Self::Below(bound) => bound,
        }
    }

    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Below(limit) => value < limit,
        }
    }

    /// As the table has it.
    fn shown(self, value: f64) -> String {
        let sign = match self {
            Self::AtLeast(_) => ">=",
            Self::AtMost(_) => "<=",
            Self::Below(_) => "<",
        };
        let outcome = if self.is_met_by(value) {
            "met"
        } else {
            "MISSED"
        };
        format!("{sign} {} {outcome}", self.bound())
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        self.target.map(|target| target.is_met_by(self.value))
    }
}

impl Report {
    pub const fn new(name: &'static str, preface: String) -> Self {
        Self {
            name,
            preface,
            rows: Vec::new(),
        }
    }

    /// One more row without a target.
    pub fn row(&mut self, metric: impl Into<String>, value: f64, unit: &'static str, note: &str) {
        self.rows.push(Row {
            metric: metric.into(),
            value,
            unit,
            target: None,
            note: note.to_owned(),
        });
    }

    /// One more row that should reach at least `target`.
    pub fn at_least(
        &mut self,
        metric: &str,
        value: f64,
        unit: &'static str,
        target: f64,
        note: &str,
    ) {
        self.row(metric, value, unit, note);
        self.aim(Target::AtLeast(target));
    }

    /// One more row that should not exceed `target`.
    pub fn at_most(
        &mut self,
        metric: &str,
        value: f64,
        unit: &'static str,
        target: f64,
        note: &str,
    ) {
        self.row(metric, value, unit, note);
        self.aim(Target::AtMost(target));
    }

    /// One more row that should stay below `target`.
    pub fn below(&mut self, metric: &str, value: f64, unit: &'static str, target: f64, note: &str) {
        self.row(metric, value, unit, note);
        self.aim(Target::Below(target));
    }

    /// Gives the last row its target.
    fn aim(&mut self, target: Target) {
        if let Some(row) = self.rows.last_mut() {
            row.target = Some(target);
        }
    }

    /// `{"name", "rows": [{"metric", "value", "unit", "target", "met"}]}`.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "metric": row.metric, "value": rounded(row.value), "unit": row.unit,
                "target": row.target.map(Target::bound), "met": row.met(),
            })
        });
        json!({ "name": self.name, "rows": rows.collect::<Vec<Value>>() })
    }

    pub fn to_table(&self) -> String {
        let mut table = format!("{}: {}\n\n", self.name, self.preface);
        for row in &self.rows {
            let target = row.target.map(|target| target.shown(row.value));
            let target = target.unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{:<30} {:>9} {:<6} {target:<14} {}",
                row.metric,
                shown(row.value),
                row.unit,
                row.note
            );
        }
        table
    }
}

fn rounded(value: f64) -> f64 {
    if value >= 100.0 {
        value.round()
    } else {
        (value * 1000.0).round() / 1000.0
    }
}

fn shown(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_which_targets_are_met() {
        let mut report = Report::new("x", String::new());
        report.at_least("ratio", 0.812_34, "x", 0.8, "");
        report.at_least("other", 0.7, "x", 0.8, "");
        report.row("rate", 1234.56, "1/s", "");
        report.below("latency", 29.9, "ms", 30.0, "");
        report.below("wait", 30.0, "ms", 30.0, "");
        report.at_most("broken", 0.0, "", 0.0, "");
        report.at_most("lost", 1.0, "", 0.0, "");
        assert_eq!(
            report.to_json(),
            json!({ "name": "x", "rows": [
                { "metric": "ratio", "value": 0.812, "unit": "x", "target": 0.8, "met": true },
                { "metric": "other", "value": 0.7, "unit": "x", "target": 0.8, "met": false },
                { "metric": "rate", "value": 1235.0, "unit": "1/s", "target": null, "met": null },
                { "metric": "latency", "value": 29.9, "unit": "ms", "target": 30.0, "met": true },
                { "metric": "wait", "value": 30.0, "unit": "ms", "target": 30.0, "met": false },
                { "metric": "broken", "value": 0.0, "unit": "", "target": 0.0, "met": true },
                { "metric": "lost", "value": 1.0, "unit": "", "target": 0.0, "met": false },
            ] })
        );
    }
}
