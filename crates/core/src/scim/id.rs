//! Ids of resources: random, and never used again. A user's is no group's.

/// Declares the ids of one type of resources.
macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 16 random bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// For storing.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// As in URLs and bodies.
            #[must_use]
            pub fn to_text(self) -> String {
                $crate::text::base64url(&self.0)
            }

            /// Reads the text form back.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                $crate::text::from_base64url(text)?.try_into().ok().map(Self)
            }
        }
    };
}

pub(super) use resource_id;
