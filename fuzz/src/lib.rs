//! What the fuzz targets do with their input: each parser that meets what strangers send, and what
//! must hold whatever it is. Any panic is a finding.
//!
//! A target is two lines in `fuzz_targets/`; its body is here, so that stable Rust can build it and
//! the tests below can run it without a fuzzer.

#![forbid(unsafe_code)]

mod client;
mod dpop;
mod gateway;
mod jwt;
mod log;
mod opaque;
mod saml;
mod scim;
mod scim_protocol;
mod submitted;
mod wire;

pub use client::{client_metadata, redirect_uri};
pub use dpop::dpop;
pub use gateway::{gateway_file, gateway_path};
pub use jwt::{jwt, jwt_signed};
pub use log::audit_log;
pub use opaque::opaque_token;
pub use saml::saml;
pub use scim::scim;
pub use scim_protocol::{scim_bulk, scim_filter, scim_resource};
pub use submitted::audit_events;
pub use wire::wire;

/// The first half of the input and the second, parted by the first zero byte.
fn parted(data: &[u8]) -> Option<(&str, &str)> {
    let at = data.iter().position(|byte| *byte == 0)?;
    let (first, second) = (data.get(..at)?, data.get(at + 1..)?);
    Some((str::from_utf8(first).ok()?, str::from_utf8(second).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text that is closer to what the parsers read than arbitrary bytes are.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: [&str; 77] = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\0",
            ".",
            "null",
            "1",
            "-1",
            "1e99",
            "\"exp\"",
            "\"iat\"",
            "\"alg\"",
            "\"ES256\"",
            "\"typ\"",
            "\"at+jwt\"",
            "userName eq ",
            "\"op\"",
            "\"path\"",
            "\"Operations\"",
            "pc_ac_",
            "http://127.0.0.1",
            ":80",
            "/cb",
            "https://a.example",
            "\"redirect_uris\"",
            "\"scope\"",
            "<saml:Assertion ID=\"_a1\">",
            "</saml:Assertion>",
            "<samlp:Response>",
            "_a1",
            "alice@example.com",
            "mallory@example.com",
            "<ds:Signature>",
            "<!-- -->",
            "<![CDATA[",
            "]]>",
            "&#13;",
            "xmlns:saml=\"",
            "[upstreams]\na = \"https://a.example\"\n",
            "[[routes]]\npath = \"/a/*\"\nupstream = \"a\"\n",
            "public = true\n",
            "consistency = ",
            "/",
            "admin",
            "ADMIN",
            "%2561dmin",
            "..",
            "%2e",
            "%2f",
            ";",
            "\"userName\":\"a\"",
            "\"value\":",
            "\"emails\"",
            "emails[type eq \"work\"]",
            " and ",
            " or ",
            "not (",
            "(",
            ")",
            "members",
            "{\"Operations\":[{\"op\":\"add\",",
            "\"value\":{}}]}",
            "{\"method\":\"POST\",\"path\":\"/Users\",\"bulkId\":\"a\",\"data\":{}}",
            "\"bulkId:a\"",
            "0/",
            "x001/",
            "234.p/",
            "— id.example/audit/lane/0 ",
            "\n",
            "{\"producer\":\"a\",\"first_sequence\":1,\"events\":[",
            "{\"occurred\":\"2026-01-02T03:04:05Z\",\"action\":\"check.denied\",\"outcome\":\"denied\"",
            ",\"subject\":\"a:b\"",
            ",\"request\":{\"method\":\"GET\",\"host\":\"h\",\"path\":\"/\"}",
        ];
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40)
            .prop_map(|words| words.concat().into_bytes())
    }

    fn input() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![prop::collection::vec(any::<u8>(), 0..200), likely()]
    }

    proptest! {
        #[test]
        fn tokens_of_strangers_are_refused(data in input()) {
            jwt(&data);
        }

        #[test]
        fn signed_tokens_say_what_they_must(data in input()) {
            jwt_signed(&data);
        }

        #[test]
        fn proofs_are_for_one_request(data in input()) {
            dpop(&data);
        }

        #[test]
        fn redirects_lead_where_they_may(data in input()) {
            redirect_uri(&data);
        }

        #[test]
        fn strangers_register_as_strangers(data in input()) {
            client_metadata(&data);
        }

        #[test]
        fn opaque_tokens_are_exact(data in input()) {
            opaque_token(&data);
        }

        #[test]
        fn answers_say_what_was_signed(data in input()) {
            saml(&data);
        }

        #[test]
        fn a_gateways_file_is_read_or_its_faults_have_places(data in input()) {
            gateway_file(&data);
        }

        #[test]
        fn no_spelling_leads_around_a_guard(data in input()) {
            gateway_path(&data);
        }

        #[test]
        fn provisioning_keeps_who_is_meant(data in input()) {
            scim(&data);
        }

        #[test]
        fn filters_mean_what_they_say(data in input()) {
            scim_filter(&data);
        }

        #[test]
        fn resources_are_kept_in_one_form(data in input()) {
            scim_resource(&data);
        }

        #[test]
        fn bulk_requests_end(data in input()) {
            scim_bulk(&data);
        }

        #[test]
        fn parts_of_the_log_have_one_name(data in input()) {
            audit_log(&data);
        }

        #[test]
        fn events_are_taken_within_bounds_or_not_at_all(data in input()) {
            audit_events(&data);
        }

        #[test]
        fn messages_are_read_as_they_were_written(data in input()) {
            wire(&data);
        }
    }
}
