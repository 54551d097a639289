//! `cargo xtask COMMAND`: everything a developer runs, on a machine that has Rust and npm.
//!
//! Each command first installs what is missing (see [`setup`]) into a cache outside the checkout,
//! so that checkouts share it, and then does its work. Out of scope: deploying.
//!
//! Exit codes: 0 done; 1 a step failed (a test, a check, a build); 2 the command line makes no
//! sense; 3 something is missing that could not be installed, and the message says how to get it.

mod cli;
mod debian;
mod failure;
mod npm;
mod place;
mod process;
mod progress;
mod python;
mod run;
mod setup;
mod target;
mod tidy;
mod tools;
mod wasm;
mod workers;

use std::process::ExitCode;

use cli::{Command, TestScope};
use failure::Failure;
use place::Place;
use workers::Finish;

fn main() -> ExitCode {
    match cli::parse().and_then(execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    let place = Place::find()?;
    match command {
        Command::Help(text) => {
            print!("{text}");
            Ok(())
        }
        Command::Setup => {
            let kit = setup::setup(&place)?;
            python::install(&kit.place).map(drop)
        }
        Command::Build => {
            let kit = setup::setup(&place)?;
            workers::build(&kit, Finish::Full)?;
            run::starts(&kit)
        }
        Command::Dev { stack_args } => {
            let kit = setup::setup(&place)?;
            workers::build(&kit, Finish::Quick)?;
            run::dev(&kit, &stack_args)
        }
        Command::Test { scope, filter } => {
            let kit = setup::setup(&place)?;
            if scope != TestScope::EndToEnd {
                tidy::tidy(&kit)?;
            }
            if scope == TestScope::Unit {
                return run::test(&kit, scope, filter.as_deref(), &[]);
            }
            let packages = python::install(&kit.place)?;
            // All tests are of what would be deployed; a few, of what is built sooner.
            let finish = match scope {
                TestScope::All => Finish::Full,
                _ => Finish::Quick,
            };
            workers::build(&kit, finish)?;
            run::test(&kit, scope, filter.as_deref(), &packages)
        }
        Command::Demo { args } => {
            let kit = setup::setup(&place)?;
            workers::build(&kit, Finish::Quick)?;
            run::demo(&kit, &args)
        }
        Command::Bench { args } => {
            let kit = setup::setup(&place)?;
            workers::build(&kit, Finish::Full)?;
            workers::build_parts(&kit)?;
            run::bench(&kit, &args)
        }
        Command::Tidy => tidy::tidy(&setup::setup(&place)?),
    }
}
