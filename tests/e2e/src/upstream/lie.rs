//! What can be wrong with an ID token.

use serde_json::{Map, Value, json};

/// A bent ID token. What is not said here is as it should be, the signature by the real key included.
#[derive(Clone, Debug, Default)]
pub struct Lie(Map<String, Value>);

impl Lie {
    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// A claim has another value; null takes it away.
    #[must_use]
    pub fn claim(name: &str, value: Value) -> Self {
        Self::default().and_claim(name, value)
    }

    /// So has one more.
    #[must_use]
    pub fn and_claim(self, name: &str, value: Value) -> Self {
        self.with(name, value)
    }

    /// Header parameters have other values; null takes one away.
    #[must_use]
    pub fn header(parameters: Value) -> Self {
        Self::default().with("header", parameters)
    }

    /// No signature: `alg: none`, in whatever letters.
    #[must_use]
    pub fn unsigned(alg: &str) -> Self {
        Self::default()
            .with("alg", json!("none"))
            .with("header", json!({ "alg": alg }))
    }

    /// HS256, keyed with the public key as PEM (RFC 8725 section 2.1).
    #[must_use]
    pub fn hmac_with_pem() -> Self {
        Self::default().with("alg", json!("HS256"))
    }

    /// The same, keyed with the public key as it stands in the key document.
    #[must_use]
    pub fn hmac_with_jwk() -> Self {
        Self::hmac_with_pem().with("secret", json!("jwk"))
    }

    /// HS256, keyed with the client secret, as Core section 10.1 has it.
    #[must_use]
    pub fn hmac_with_client_secret() -> Self {
        Self::hmac_with_pem().with("secret", json!("client_secret"))
    }

    /// Well signed with another algorithm: by the same key if that can, or by another that is published.
    #[must_use]
    pub fn algorithm(alg: &str) -> Self {
        Self::default().with("alg", json!(alg))
    }

    /// Signed by a key that is published nowhere, in the name of the real one.
    #[must_use]
    pub fn foreign_key() -> Self {
        Self::default().with("key", json!("foreign"))
    }

    /// One bit of the signature is turned.
    #[must_use]
    pub fn bent_signature() -> Self {
        Self::default().with("signature", json!("bent"))
    }

    /// The signature is cut off, with the header left as it was.
    #[must_use]
    pub fn missing_signature() -> Self {
        Self::default().with("signature", json!("missing"))
    }

    /// There is no ID token.
    #[must_use]
    pub fn no_token() -> Self {
        Self::default().with("id_token", Value::Null)
    }

    /// This instead of an ID token.
    #[must_use]
    pub fn token(text: &str) -> Self {
        Self::default().with("id_token", json!(text))
    }

    /// Told to the next so many log-ins only.
    #[must_use]
    pub fn times(self, log_ins: u32) -> Self {
        self.with("times", json!(log_ins))
    }

    /// How the provider is told.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0.into()
    }
}
