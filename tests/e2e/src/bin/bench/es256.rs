//! Where the time of a signature goes: ES256 in wasm, as the service uses it for foreign tokens, beside
//! `WebCrypto`, with which it signs and verifies its own; one after the other in the same runtime.

use crate::report::Report;
use crate::statistics::median;
use portcullis_e2e::Result;
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::http::Request;
use portcullis_e2e::stack::Endpoints;
use std::time::Instant;

/// Kinds of work, each with its metric, how often it is done in one request, and a note.
const WORK: [(&str, &str, u32, &str); 5] = [
    (
        "wasm/sign",
        "es256_sign_wasm",
        500,
        "a token, by crate p256",
    ),
    ("webcrypto/sign", "es256_sign_webcrypto", 2000, "600 bytes"),
    (
        "wasm/verify",
        "es256_verify_wasm",
        500,
        "an access token, by jwt-simple",
    ),
    (
        "webcrypto/verify",
        "es256_verify_webcrypto",
        2000,
        "600 bytes",
    ),
    (
        "wasm/read",
        "es256_verify_wasm_rest",
        5000,
        "all of verifying but the signature",
    ),
];

/// One list of rates for each kind of work.
#[derive(Default)]
pub struct Rates([Vec<f64>; 5]);

impl Rates {
    /// Once each.
    pub fn round(&mut self, at: &Endpoints) -> Result {
        for ((path, _, count, _), rates) in WORK.iter().zip(&mut self.0) {
            let begun = Instant::now();
            let answer = Request::get(format!("{}/{path}?count={count}", at.wasm)).send()?;
            expect_eq(path, &answer.body, &count.to_string())?;
            rates.push(f64::from(*count) / begun.elapsed().as_secs_f64());
        }
        Ok(())
    }

    pub fn report(&self, report: &mut Report) {
        for ((_, metric, _, note), rates) in WORK.iter().zip(&self.0) {
            report.row(format!("{metric}_per_s"), median(rates), "1/s", note);
        }
        let [sign_wasm, sign_runtime, verify_wasm, verify_runtime, _] = &self.0;
        for (metric, runtime, wasm) in [
            ("es256_sign_ratio", sign_runtime, sign_wasm),
            ("es256_verify_ratio", verify_runtime, verify_wasm),
        ] {
            let ratios: Vec<f64> = runtime.iter().zip(wasm).map(|(a, b)| a / b).collect();
            report.row(metric, median(&ratios), "x", "WebCrypto / wasm");
        }
    }
}
