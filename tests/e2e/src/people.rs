//! Stacks and people for tests: each person is given out once, so that no test meets another's
//! sessions or kills.
//!
//! A stack knows three people. Stacks are started as they run out, and end with the last test that
//! is at them: order and number of tests never matter.

use crate::api::Api;
use crate::app::App;
use crate::scim::Scim;
use crate::stack::{Endpoints, Settings, Stack};
use crate::{Failure, Result};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The demo identity provider's users; each one's password is the name.
pub const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// A usual stack that others use at the same time, and what talks to it.
pub struct Site {
    /// The demo application.
    pub app: App,
    /// The service's API.
    pub api: Api,
    /// The service's SCIM endpoint.
    pub scim: Scim,
    stack: Arc<Stack>,
}

/// Somebody who never logged in before and is nobody else's, and where they are.
pub struct Person {
    /// User name, password, and value at the connection `demo`.
    pub name: &'static str,
    site: Site,
}

impl Site {
    /// Any stack: for tests that need nobody, or only people whom they make up.
    pub fn any() -> Result<Self> {
        let mut waiting = waiting();
        let newest = waiting.last().map(|(stack, _)| Arc::clone(stack));
        match newest {
            Some(stack) => Self::at(stack),
            None => Self::at(start(&mut waiting)?),
        }
    }

    /// The stack of those who make connections: one more means that everybody is asked which is theirs.
    pub fn of_connections() -> Result<Self> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = shared.upgrade() {
            return Self::at(stack);
        }
        // An access proxy before its gateway asserts who is there.
        let settings = Settings {
            gateway_vars: vec!["ASSERTION_HEADER=Cf-Access-Jwt-Assertion".to_owned()],
            ..Settings::default()
        };
        let stack = Arc::new(Stack::start_with(&settings)?);
        *shared = Arc::downgrade(&stack);
        Self::at(stack)
    }

    /// A stack that its maker chose the settings of.
    pub fn at(stack: Arc<Stack>) -> Result<Self> {
        Ok(Self {
            app: App::discover(&stack.at)?,
            api: Api::new(&stack.at),
            scim: Scim::new(&stack.at),
            stack,
        })
    }

    /// Where it answers.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.stack.at
    }
}

impl Person {
    /// Somebody new.
    pub fn new() -> Result<Self> {
        let mut waiting = waiting();
        if waiting.is_empty() {
            start(&mut waiting)?;
        }
        let (stack, name) = waiting
            .pop()
            .ok_or_else(|| Failure::new("nobody is left"))?;
        Ok(Self {
            name,
            site: Site::at(stack)?,
        })
    }

    /// How the API names them without their key: `demo:NAME`.
    #[must_use]
    pub fn claim(&self) -> String {
        format!("demo:{}", self.name)
    }
}

impl Deref for Person {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// People who are still to be given out, with the stacks that know them.
type Waiting = Vec<(Arc<Stack>, &'static str)>;

/// Locked while a stack starts: who comes meanwhile shares it instead of starting another.
fn waiting() -> MutexGuard<'static, Waiting> {
    static WAITING: Mutex<Waiting> = Mutex::new(Vec::new());
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(waiting: &mut Waiting) -> Result<Arc<Stack>> {
    let stack = Arc::new(Stack::start()?);
    waiting.extend(NAMES.map(|name| (Arc::clone(&stack), name)));
    Ok(stack)
}
