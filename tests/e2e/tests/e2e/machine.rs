//! The stack itself: without it, no other test means anything.

use portcullis_e2e::Result;
use portcullis_e2e::http::Request;
use portcullis_e2e::stack::{Settings, Stack};
use serde_json::json;

#[test]
fn the_origin_says_back_what_reached_it_and_a_stack_killed_hard_starts_again_as_it_was() -> Result {
    let mut stack = Stack::start()?;
    let seen = Request::post(format!("{}/a/b?c=d", stack.at.origin))
        .header("x-one", "1")
        .json(&json!({ "e": 1 }))
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/a/b");
    assert_eq!(seen["query"], "c=d");
    assert_eq!(seen["headers"]["x-one"], "1");
    assert_eq!(seen["body"], r#"{"e":1}"#);

    let keys = format!("{}/jwks", stack.at.idp);
    let before = Request::get(&keys).send()?.expect(200)?.body;
    stack.kill_hard()?;
    assert!(Request::get(&keys).send().is_err(), "it is still there");
    stack.restart(&Settings::default())?;
    assert_eq!(Request::get(&keys).send()?.expect(200)?.body, before);
    Ok(())
}
