//! The deployment, read once in the life of an isolate.
//!
//! The text of the file is a global of the main module's (`entry.mjs`): so a built Worker is
//! configured by a file beside it, and an instance of the wasm that is started anew finds it again.

use crate::deployment::Deployment;
use std::cell::OnceCell;
use std::rc::Rc;
use worker::js_sys::{self, Reflect};
use worker::{Env, console_error};

/// The global with the text.
const FILE: &str = "portcullisGatewayFile";

/// The deployment; `None` if anything of it is invalid, which is logged once.
pub fn deployment(env: &Env) -> Option<Rc<Deployment>> {
    thread_local! {
        static DEPLOYMENT: OnceCell<Option<Rc<Deployment>>> = const { OnceCell::new() };
    }
    DEPLOYMENT.with(|cell| {
        cell.get_or_init(|| {
            read(env)
                .map(Rc::new)
                .inspect_err(|wrong| {
                    for wrong in wrong {
                        console_error!("every request is refused: {wrong}");
                    }
                })
                .ok()
        })
        .clone()
    })
}

fn read(env: &Env) -> Result<Deployment, Vec<String>> {
    let file = Reflect::get(&js_sys::global(), &FILE.into());
    let file = file.ok().and_then(|file| file.as_string());
    let file = file.ok_or_else(|| vec!["there is no gateway.toml".to_owned()])?;
    // A secret is read as a variable is.
    let var = |name: &str| env.var(name).ok().map(|value| value.to_string());
    Deployment::of(&file, var)
}
