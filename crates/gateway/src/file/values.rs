//! What single values of the file mean.

use super::fields::{Field, Fields};
use super::problem::Problems;
use crate::consistency::{Consistency, DEFAULT_MAX_AGE_MS, LONGEST_MAX_AGE_MS, WhenStale};
use crate::headers;
use crate::route::audit::{Audit, Loss, Sample};
use crate::route::claim::Claim;
use portcullis_core::audit::event::MAX_CLAIMS;
use toml::de::DeValue;
use url::Host;

/// A time span: a whole number and `ms`, `s` or `m`. In milliseconds.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|it: char| !it.is_ascii_digit());
    let unit = text.get(digits.len()..)?;
    let in_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let well_formed = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    digits
        .parse::<u64>()
        .ok()
        .filter(|_| well_formed)?
        .checked_mul(in_ms)
}

/// `strict`, `bounded`, `signature-only`, or a table that says how bounded.
pub fn consistency(field: Field<'_>, problems: &mut Problems<'_>) -> Option<Consistency> {
    match field.value() {
        DeValue::String(name) => match name.as_ref() {
            "strict" => Some(Consistency::Strict),
            "signature-only" => Some(Consistency::SignatureOnly),
            "bounded" => Some(Consistency::Bounded {
                max_age_ms: DEFAULT_MAX_AGE_MS,
                when_stale: WhenStale::default(),
            }),
            other => {
                field.refuse(
                    problems,
                    format!(
                        "unknown consistency {other:?}; there are strict, bounded, signature-only \
                         and {{ bounded = \"1s\", when_stale = \"refresh\" }}"
                    ),
                );
                None
            }
        },
        DeValue::Table(_) => bounded(field, problems),
        _ => {
            field.refuse(problems, "\"consistency\" must be a text or a table");
            None
        }
    }
}

fn bounded(field: Field<'_>, problems: &mut Problems<'_>) -> Option<Consistency> {
    let mut fields = field.table(problems)?;
    let max_age = fields.take("bounded");
    let when_stale = fields.take("when_stale");
    fields.finish(problems);
    let Some(max_age) = max_age else {
        field.refuse(
            problems,
            "\"bounded\" is missing: how old what is known may be",
        );
        return None;
    };
    let when_stale = when_stale.map_or(Some(WhenStale::default()), |field| {
        match field.text(problems)? {
            "refresh" => Some(WhenStale::Refresh),
            "strict" => Some(WhenStale::Strict),
            "refuse" => Some(WhenStale::Refuse),
            other => {
                let known = "there are refresh, strict and refuse";
                field.refuse(
                    problems,
                    format!("unknown \"when_stale\" {other:?}; {known}"),
                );
                None
            }
        }
    });
    let max_age_ms = match duration_ms(max_age.text(problems)?) {
        None => {
            max_age.refuse(
                problems,
                "a time span is a number and ms, s or m, such as \"500ms\"",
            );
            return None;
        }
        Some(0) => {
            max_age.refuse(
                problems,
                "nothing is known at once: say consistency = \"strict\"",
            );
            return None;
        }
        Some(ms) if ms > LONGEST_MAX_AGE_MS => {
            let most = LONGEST_MAX_AGE_MS / 1_000;
            max_age.refuse(
                problems,
                format!("longer than {most}s is not bounded by anything"),
            );
            return None;
        }
        Some(ms) => ms,
    };
    Some(Consistency::Bounded {
        max_age_ms,
        when_stale: when_stale?,
    })
}

/// Which of the requests that pass are recorded, and whether that may be lost.
pub fn audit(field: Field<'_>, problems: &mut Problems<'_>) -> Option<Audit> {
    let mut fields = field.table(problems)?;
    let sample = fields
        .take("sample")
        .map_or(Some(Sample::default()), |field| {
            let number = match field.value() {
                DeValue::Float(number) => number.as_str().parse().ok(),
                DeValue::Integer(number) => number.as_str().parse().ok(),
                _ => None,
            };
            let sample = number.and_then(Sample::new);
            if sample.is_none() {
                field.refuse(problems, "\"sample\" must be a number from 0 to 1");
            }
            sample
        });
    let loss = fields.take("loss").map_or(Some(Loss::default()), |field| {
        match field.text(problems)? {
            "tolerate" => Some(Loss::Tolerate),
            "wait" => Some(Loss::Wait),
            other => {
                let known = "there are tolerate and wait";
                field.refuse(problems, format!("unknown \"loss\" {other:?}; {known}"));
                None
            }
        }
    });
    let claims = fields
        .take("claims")
        .map_or(Some(Vec::new()), |field| audited_claims(field, problems));
    fields.finish(problems);
    Some(Audit {
        sample: sample?,
        loss: loss?,
        claims: claims?,
    })
}

fn audited_claims(field: Field<'_>, problems: &mut Problems<'_>) -> Option<Vec<Claim>> {
    let texts = field.texts(problems);
    if texts.len() > MAX_CLAIMS {
        field.refuse(problems, format!("more than {MAX_CLAIMS} claims"));
        return None;
    }
    let mut claims = Vec::new();
    for (name, span) in texts {
        match name.parse() {
            Ok(claim) => claims.push(claim),
            Err(unknown) => problems.add(&span, unknown),
        }
    }
    Some(claims)
}

/// Headers, each with the claim that it holds.
pub fn claim_headers(
    field: Field<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<(String, Claim)>> {
    let mut held: Vec<(String, Claim)> = Vec::new();
    for header in field.table(problems).map(Fields::into_rest)? {
        let name = header.name;
        if !headers::can_hold_a_claim(name) {
            header.refuse_key(problems, format!("{name:?} cannot be a header of a claim"));
        } else if held
            .iter()
            .any(|(known, _)| headers::are_alike(known, name))
        {
            header.refuse_key(
                problems,
                format!("servers take {name:?} for another one here"),
            );
        }
        match header.text(problems).map(str::parse) {
            Some(Ok(claim)) => held.push((name.to_owned(), claim)),
            Some(Err(unknown)) => header.refuse(problems, unknown),
            None => {}
        }
    }
    Some(held)
}

/// A host, as browsers send it and without a port.
pub fn host(field: Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    let text = field.text(problems)?;
    let canonical = match Host::parse(text) {
        // What URLs allow in a name beyond this is a mistake here, such as a wildcard.
        Ok(Host::Domain(name)) => name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
            .then_some(name),
        Ok(address) => Some(address.to_string()),
        Err(_) => None,
    };
    match canonical {
        Some(canonical) if canonical == text && !text.ends_with('.') => Some(canonical),
        Some(canonical) => {
            let written = canonical.trim_end_matches('.');
            field.refuse(problems, format!("write this host as {written:?}"));
            None
        }
        None => {
            field.refuse(
                problems,
                "this is no host: a name or an address, without a port",
            );
            None
        }
    }
}

/// Methods (RFC 9110 section 9.1), which are told apart by case.
pub fn methods(field: Field<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let mut methods = Vec::new();
    for (method, span) in field.texts(problems) {
        if method.is_empty()
            || !method
                .bytes()
                .all(|it| it.is_ascii_uppercase() || it == b'-')
        {
            problems.add(&span, "a method is written in capital letters");
        }
        methods.push(method.to_owned());
    }
    methods
}

/// Roles or groups.
pub fn names(field: Field<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let texts = field.texts(problems);
    for (_, span) in texts.iter().filter(|(name, _)| name.is_empty()) {
        problems.add(span, "nobody has a role or group without a name");
    }
    texts.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// Scopes (RFC 6749 section 3.3).
pub fn scopes(field: Field<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let in_a_scope = |it: u8| matches!(it, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let texts = field.texts(problems);
    for (scope, span) in &texts {
        if scope.is_empty() || !scope.bytes().all(in_a_scope) {
            problems.add(
                span,
                "a scope has no spaces, quotes or backslashes; list each by itself",
            );
        }
    }
    texts
        .into_iter()
        .map(|(scope, _)| scope.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_is_a_whole_number_with_its_unit() {
        for (text, ms) in [("0s", 0), ("500ms", 500), ("1s", 1_000), ("2m", 120_000)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "ms",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1 s",
            "1h",
            "1S",
            "1ss",
            "1s1",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }
}
