//! The main job, told step by step with times: a person is provisioned, logs in, is deactivated,
//! and is out everywhere at once.
//!
//! Exit codes: 0 every step went as told; 1 one did not, and it is said what was expected and what
//! came; 2 the command line makes no sense.

mod hammer;
mod steps;
mod teller;

use portcullis_e2e::http::Request;
use portcullis_e2e::stack::{Endpoints, Stack};
use portcullis_e2e::{Failure, Result};
use std::process::ExitCode;
use teller::Teller;

const HELP: &str = "\
cargo xtask demo [--port N] [--json]: the main job, step by step, with times.

  --port N    use the stack that runs there (as `cargo xtask dev` starts it, on 8787);
              without it, a stack of its own is started and thrown away
  --json      one JSON object per step
  --help

Exit codes: 0 every step went as told, 1 one did not, 2 bad command line.
";

#[derive(Default)]
struct Options {
    port: Option<u16>,
    json: bool,
    help: bool,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut teller = Teller::new(options.json);
    match run(&options, &mut teller) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            teller.failed(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, teller: &mut Teller) -> Result {
    if let Some(port) = options.port {
        let at = Endpoints::at(port);
        teller.told(&format!("using the stack at {}", at.service));
        let health = Request::get(format!("{}/healthz", at.service)).send();
        health.map_err(|failure| {
            Failure::new(format!(
                "{}; `cargo xtask dev --port {port}` would start a stack there",
                failure.message()
            ))
        })?;
        return steps::run(&at, teller);
    }
    let stack = Stack::start()?;
    teller.told(&format!("a stack of our own runs at {}", stack.at.service));
    steps::run(&stack.at, teller)
}

fn parse() -> std::result::Result<Options, lexopt::Error> {
    use lexopt::{Arg::Long, Arg::Short, Parser, ValueExt};
    let mut parser = Parser::from_env();
    let mut options = Options::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("port") => options.port = Some(parser.value()?.parse()?),
            Long("json") => options.json = true,
            Long("help") | Short('h') => options.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}
