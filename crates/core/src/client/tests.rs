use super::*;
use proptest::prelude::*;
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("an object"),
    }
}

fn read(origin: Origin, value: Value) -> Result<Client, Invalid> {
    origin.client("c", object(value), NOW, false)
}

fn registered(value: Value) -> Result<Client, Invalid> {
    read(
        Origin::Registration {
            scope: "openid a b",
        },
        value,
    )
}

fn operated(value: Value) -> Result<Client, Invalid> {
    read(Origin::Operator, value)
}

fn key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

#[test]
fn what_is_left_out_is_as_rfc_7591_says() {
    let client = registered(json!({"redirect_uris": ["https://a.example/cb"]})).expect("valid");
    assert_eq!(client.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(
        client.token_endpoint_auth_method,
        AuthMethod::ClientSecretBasic
    );
    assert_eq!(client.client_id_issued_at, 1000);
    assert_eq!(client.source, Source::Dynamic);
    assert!(client.needs_consent());
}

#[test]
fn who_registers_themselves_gets_no_privilege_and_no_scope_of_their_choice() {
    let client = registered(json!({
        "client_id": "demo-app",
        "source": "static",
        "redirect_uris": ["https://a.example/cb"],
        "first_party": true,
        "introspects": ["x"],
        "resources": ["https://api.example"],
        "secrets": [{"sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}],
        "scope": "a admin openid",
        "unheard_of": [1],
        "client_name": null,
    }))
    .expect("valid");
    assert_eq!(client.client_id, "c");
    assert!(client.needs_consent());
    assert!(client.introspects.is_empty() && client.resources.is_empty());
    assert!(client.secrets.is_empty());
    assert_eq!(client.scopes().collect::<Vec<_>>(), ["a", "openid"]);
    let default = registered(json!({"redirect_uris": ["https://a.example/cb"]})).expect("valid");
    assert_eq!(
        default.scopes().collect::<Vec<_>>(),
        ["openid", "a", "b"],
        "who leaves scope out may have what is open to anybody"
    );
}

#[test]
fn an_operator_is_told_of_a_field_that_is_not_known() {
    for field in ["unheard_of", "secrets", "source", "client_secret"] {
        let refused = operated(json!({"redirect_uris": ["https://a.example/cb"], field: []}));
        assert!(matches!(refused, Err(Invalid::Metadata(why)) if why.contains(field)));
    }
}

#[test]
fn a_bad_redirect_uri_has_an_error_of_its_own() {
    for uris in [
        json!([]),
        json!(["http://a.example/cb"]),
        json!(["https://a.example/cb", "https://a.example/cb#x"]),
    ] {
        let refused = registered(json!({ "redirect_uris": uris }));
        assert_eq!(refused, Err(Invalid::RedirectUri));
    }
    assert_eq!(registered(json!({})), Err(Invalid::RedirectUri));
}

#[test]
fn metadata_that_contradicts_itself_is_refused() {
    let uris = || json!(["https://a.example/cb"]);
    for (field, value) in [
        ("grant_types", json!([])),
        ("grant_types", json!(["password"])),
        ("grant_types", json!(["implicit"])),
        ("grant_types", json!(["refresh_token"])),
        ("response_types", json!(["token"])),
        ("response_types", json!("code")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("jwks", json!({"keys": []})),
        ("jwks", json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
        ("jwks_uri", json!("http://a.example/jwks")),
        ("jwks_uri", json!("https://10.0.0.1/jwks")),
        ("backchannel_logout_uri", json!("https://intranet/x")),
        ("client_name", json!("\u{202e}txt")),
        ("client_name", json!("")),
        ("client_name", json!("x".repeat(101))),
        ("scope", json!("a\nb")),
        ("scope", json!("x".repeat(1025))),
        ("redirect_uris", json!("https://a.example/cb")),
        ("redirect_uris", json!(vec!["https://a.example/cb"; 21])),
        ("dpop_bound_access_tokens", json!("yes")),
    ] {
        let mut metadata = object(json!({ "redirect_uris": uris() }));
        metadata.insert(field.into(), value.clone());
        let refused = operated(Value::Object(metadata));
        assert!(
            matches!(refused, Err(Invalid::Metadata(_))),
            "{field} {value}: {refused:?}"
        );
    }
    let mut private = key();
    private["d"] = "AAAA".into();
    let with_keys = |keys: Value| {
        operated(
            json!({"redirect_uris": uris(), "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [keys]}}),
        )
    };
    assert!(with_keys(private).is_err());
    assert!(with_keys(key()).is_ok());
}

#[test]
fn only_a_client_that_authenticates_gets_credentials_of_its_own_or_introspects() {
    let service = |method: &str, grant: &str, introspects: Value| {
        operated(
            json!({"token_endpoint_auth_method": method, "grant_types": [grant],
            "introspects": introspects}),
        )
    };
    assert!(service("none", "client_credentials", json!([])).is_err());
    assert!(service("client_secret_basic", "client_credentials", json!(["x"])).is_ok());
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    assert!(service("none", exchange, json!([])).is_ok());
    assert!(service("none", exchange, json!(["x"])).is_err());
}

#[test]
fn a_document_is_public_unless_it_has_keys_and_never_has_a_secret() {
    let document = |value| read(Origin::Document { scope: "openid" }, value);
    let uris = ["https://a.example/cb"];
    let plain = document(json!({"redirect_uris": uris})).expect("valid");
    assert!(plain.is_public() && plain.needs_consent());
    for method in ["client_secret_basic", "client_secret_post"] {
        let secret = json!({"redirect_uris": uris, "token_endpoint_auth_method": method});
        assert!(document(secret).is_err());
    }
    let keys = json!({"redirect_uris": uris, "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key()]}});
    assert!(document(keys).is_ok_and(|client| !client.is_public()));
}

#[test]
fn the_configuration_may_say_what_it_always_said() {
    let old = json!({"client_id": "a", "redirect_uris": ["https://a.example/cb"], "audience": "https://api.example"});
    let client = read(Origin::Configuration, old).expect("valid");
    assert_eq!(client.client_id, "a");
    assert!(client.is_public());
    assert_eq!(client.resources(&[]), ["https://api.example"]);
    assert!(client.allows_post_logout_redirect_to("https://a.example/cb"));
    assert!(read(Origin::Configuration, json!({"redirect_uris": []})).is_err());
}

#[test]
fn whom_any_program_on_the_machine_can_pretend_to_be_is_asked_for_each_time() {
    let redirects = [
        ("https://a.example/cb", false),
        ("http://127.0.0.1:4711/cb", true),
        ("http://[::1]/cb", true),
        ("http://localhost/cb", true),
        ("com.example.app:/cb", true),
    ];
    for (uri, always) in redirects {
        let client = |method: &str, first_party: bool| {
            operated(json!({"redirect_uris": [uri], "first_party": first_party,
                "token_endpoint_auth_method": method}))
            .expect("valid")
        };
        assert_eq!(client("none", false).must_always_ask(uri), always, "{uri}");
        assert!(!client("none", true).must_always_ask(uri), "{uri}");
        let proven = client("client_secret_basic", false);
        assert!(!proven.must_always_ask(uri), "{uri}");
    }
}

#[test]
fn resources_fall_back_to_those_of_the_deployment() {
    let deployment = ["https://d.example".to_owned()];
    let none = operated(json!({"redirect_uris": ["https://a.example/cb"]})).expect("valid");
    assert_eq!(none.resources(&deployment), deployment);
    let own =
        json!({"redirect_uris": ["https://a.example/cb"], "resources": ["https://o.example"]});
    let own = operated(own).expect("valid");
    assert_eq!(own.resources(&deployment), ["https://o.example"]);
}

fn service() -> Client {
    operated(json!({"grant_types": ["client_credentials"]})).expect("valid")
}

#[test]
fn a_secret_counts_until_it_ends_and_only_for_a_method_that_uses_one() {
    let mut client = service();
    client.add_secret(Digest::of(b"sesame"), 0, NOW);
    assert!(client.authenticates_with_secret("sesame", NOW));
    for wrong in ["", "sesam", "sesame ", "second"] {
        assert!(!client.authenticates_with_secret(wrong, NOW));
    }
    client.add_secret(Digest::of(b"second"), NOW.secs() + 60, NOW);
    for (after, first) in [(0, true), (59, true), (60, false)] {
        let at = NOW.plus_secs(after);
        assert_eq!(client.authenticates_with_secret("sesame", at), first);
        assert!(client.authenticates_with_secret("second", at));
    }
    client.token_endpoint_auth_method = AuthMethod::PrivateKeyJwt;
    assert!(!client.authenticates_with_secret("second", NOW));
}

#[test]
fn secrets_that_have_ended_and_the_oldest_of_too_many_are_forgotten() {
    let mut client = service();
    client.add_secret(Digest::of(b"old"), 0, NOW);
    client.add_secret(Digest::of(b"new"), NOW.secs(), NOW);
    client.add_secret(Digest::of(b"newer"), NOW.secs() + 9, NOW);
    assert_eq!(client.secrets.len(), 2);
    for n in 0..9u8 {
        client.add_secret(Digest::of(&[n]), NOW.secs() + 9, NOW);
    }
    assert_eq!(client.secrets.len(), metadata::MAX_SECRETS);
    // A longer overlap now does not lengthen one that was promised to be short.
    client.add_secret(Digest::of(b"last"), NOW.secs() + 9999, NOW);
    assert!(!client.authenticates_with_secret("\u{7}", NOW.plus_secs(9)));
}

#[test]
fn its_stored_form_has_digests_and_no_secret() {
    let mut client = service();
    client.add_secret(Digest::of(b"sesame"), 0, NOW);
    let text = serde_json::to_string(&client).expect("serializes");
    assert!(!text.contains("sesame"));
    assert_eq!(
        serde_json::from_str::<Client>(&text).expect("reads"),
        client
    );
    assert!(!format!("{client:?}").contains(&base64url(Digest::of(b"sesame").as_bytes())));
}

#[test]
fn sources_are_named_as_they_are_written() {
    for source in Source::ALL {
        assert_eq!(json!(source), source.as_str());
    }
}

#[test]
fn its_description_says_when_secrets_end_and_not_what_they_are() {
    let mut client = service();
    client.add_secret(Digest::of(b"sesame"), 0, NOW);
    let described = Value::Object(client.description());
    let digest = base64url(Digest::of(b"sesame").as_bytes());
    assert!(!described.to_string().contains(&digest));
    assert_eq!(
        described["secrets"],
        json!([{"created_at": 1000, "expires_at": null}])
    );
    assert_eq!(described["response_types"], json!([]));
}

#[test]
fn a_new_secret_has_prefix_and_checksum_and_is_kept_as_its_digest() {
    let secret = NewSecret::new(&[7; 32]);
    let digest = secret.digest();
    let text = secret.into_text();
    let (body, sum) = text.rsplit_once('.').expect("a checksum");
    assert!(body.starts_with("pc_cs_"));
    assert_eq!(sum, checksum(body));
    assert_eq!(digest, Digest::of(text.as_bytes()));
}

/// JSON of some depth, with field names that mean something.
fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!("https://a.example/cb")),
        Just(json!("com.example:/cb")),
        Just(json!("none")),
        Just(json!("authorization_code")),
        Just(json!("client_credentials")),
    ];
    let value = leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let name = prop::sample::select(vec![
        "redirect_uris",
        "grant_types",
        "token_endpoint_auth_method",
        "client_name",
        "scope",
        "jwks",
        "jwks_uri",
        "first_party",
        "introspects",
        "secrets",
        "client_id",
        "response_types",
    ]);
    prop::collection::btree_map(name.prop_map(str::to_owned), value, 0..6)
        .prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_consistent_and_reads_back(metadata in metadata()) {
        if let Ok(client) = (Origin::Registration { scope: "openid" }).client("c", metadata, NOW, false) {
            prop_assert!(!client.first_party && client.secrets.is_empty());
            prop_assert!(client.introspects.is_empty() && client.client_id == "c");
            prop_assert!(!(client.is_public() && client.allows_grant(GrantType::ClientCredentials)));
            prop_assert!(client.redirect_uris.iter().all(|uri| uri::is_redirect_uri(uri)));
            let text = serde_json::to_string(&client).unwrap();
            prop_assert_eq!(serde_json::from_str::<Client>(&text).unwrap(), client);
        }
    }

    #[test]
    fn no_other_secret_authenticates(secret: String, other: String) {
        let mut client = service();
        client.add_secret(Digest::of(secret.as_bytes()), 0, NOW);
        prop_assert_eq!(client.authenticates_with_secret(&other, NOW), secret == other);
    }
}

#[test]
fn a_grant_is_called_the_same_in_requests_and_in_metadata() {
    for grant in GrantType::ALL {
        assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
        assert_eq!(serde_json::json!(grant), grant.as_str());
    }
    assert_eq!(GrantType::parse("password"), None);
    assert_eq!(GrantType::parse("Authorization_code"), None);
}

#[test]
fn strangers_register_nothing_that_gets_tokens_without_a_person() {
    for grant in [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        let metadata = || {
            let json = serde_json::json!({
                "grant_types": ["authorization_code", grant],
                "redirect_uris": ["https://a.example/cb"],
            });
            json.as_object().expect("an object").clone()
        };
        let stranger = Origin::Registration { scope: "openid" };
        assert!(
            stranger
                .client("c", metadata(), UnixMillis(0), false)
                .is_err(),
            "{grant}"
        );
        let operator = Origin::Operator.client("c", metadata(), UnixMillis(0), false);
        assert!(operator.is_ok(), "{grant}");
    }
}
