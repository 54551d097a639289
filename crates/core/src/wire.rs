//! The envelope of everything binary: one version byte, then postcard.
//!
//! Object calls, queue messages and stored rows all use it. Variants and fields are appended, never
//! reordered or removed within a version; tests hold golden bytes per message.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// The version of all but what says otherwise.
const VERSION: u8 = 1;

/// The bytes are not a message of this version and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed or of an unknown version")
    }
}

impl std::error::Error for Malformed {}

/// `message` in its envelope.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Malformed> {
    encode_as(VERSION, message)
}

/// The message in `bytes`; nothing may follow it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    match bytes.split_first() {
        Some((&VERSION, body)) => decode_body(body),
        _ => Err(Malformed),
    }
}

/// `message` in the envelope of a version of its own: for what outlives the build that wrote it and has
/// changed otherwise than by appending.
pub fn encode_as<T: Serialize>(version: u8, message: &T) -> Result<Vec<u8>, Malformed> {
    postcard::to_extend(message, vec![version]).map_err(|_| Malformed)
}

/// The message in what is left of an envelope without its version; nothing may follow it.
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(Malformed),
    }
}

/// One operation of an object, tied to the reply that answers it.
///
/// A shell that sends `Self` and decodes `Self::Reply` cannot be answered with something else.
pub trait Call {
    /// The object's request enum, one variant per operation.
    type Request: Serialize + DeserializeOwned;
    /// What answers this operation.
    type Reply: Serialize + DeserializeOwned;

    /// This operation as the object's request.
    fn into_request(self) -> Self::Request;
}

/// Declares an object's request enum and ties each operation to its variant and its reply.
#[macro_export]
macro_rules! object_calls {
    ($(#[$doc:meta])* $request:ident { $($(#[$vdoc:meta])* $name:ident($call:ty) -> $reply:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "one is made, sent and dropped per call")]
        pub enum $request { $($(#[$vdoc])* $name($call),)+ }

        $(impl $crate::wire::Call for $call {
            type Request = $request;
            type Reply = $reply;

            fn into_request(self) -> $request {
                $request::$name(self)
            }
        })+
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_and_trailing_bytes_are_refused() {
        let bytes = encode(&(7u8, "x")).expect("encodes");
        assert_eq!(bytes, [1, 7, 1, b'x']);
        assert_eq!(decode::<(u8, String)>(&bytes), Ok((7, "x".to_owned())));
        assert_eq!(decode::<(u8, String)>(&[2, 7, 1, b'x']), Err(Malformed));
        assert_eq!(decode::<(u8, String)>(&[1, 7, 1, b'x', 0]), Err(Malformed));
        assert_eq!(decode::<(u8, String)>(&[]), Err(Malformed));
    }
}
