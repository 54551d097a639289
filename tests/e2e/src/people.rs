//! People for tests: each is given out once, so that no test meets another's sessions or kills.
//!
//! A stack knows three people. Stacks are started as they run out, and end with the last test that
//! holds one of their people: order and number of tests never matter.

use crate::Result;
use crate::api::Api;
use crate::app::App;
use crate::scim::Scim;
use crate::stack::{Endpoints, Stack};
use std::sync::{Arc, Mutex, PoisonError};

/// The demo identity provider's users; each one's password is the name.
pub const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// Somebody who never logged in before and is nobody else's.
pub struct Person {
    /// User name, password, and value at the connection `demo`.
    pub name: &'static str,
    /// Their application.
    pub app: App,
    /// The service's API.
    pub api: Api,
    /// The service's SCIM endpoint.
    pub scim: Scim,
    stack: Arc<Stack>,
}

impl Person {
    /// Somebody new, at a usual stack.
    pub fn new() -> Result<Self> {
        let (stack, name) = next()?;
        Self::at(stack, name)
    }

    /// `name` at a stack that the test has started itself.
    pub fn at(stack: Arc<Stack>, name: &'static str) -> Result<Self> {
        Ok(Self {
            name,
            app: App::discover(&stack.at)?,
            api: Api::new(&stack.at),
            scim: Scim::new(&stack.at),
            stack,
        })
    }

    /// Where their stack answers.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.stack.at
    }

    /// How the API names them without their key: `demo:NAME`.
    #[must_use]
    pub fn claim(&self) -> String {
        format!("demo:{}", self.name)
    }
}

fn next() -> Result<(Arc<Stack>, &'static str)> {
    /// People of the newest stack who are still to be given out.
    static WAITING: Mutex<Vec<(Arc<Stack>, &'static str)>> = Mutex::new(Vec::new());
    // Held while a stack starts: who comes meanwhile shares it instead of starting another.
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(person) = waiting.pop() {
        return Ok(person);
    }
    let stack = Arc::new(Stack::start()?);
    let [first, rest @ ..] = NAMES;
    waiting.extend(rest.map(|name| (Arc::clone(&stack), name)));
    Ok((stack, first))
}
