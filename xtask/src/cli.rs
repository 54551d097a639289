//! The command line: one parser, one help text per command.

use std::ffi::OsString;

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

use crate::failure::Failure;

#[derive(Debug)]
pub enum Command {
    Help(&'static str),
    Setup,
    Build,
    /// `stack_args` go to dev/stack.mjs as they are.
    Dev {
        stack_args: Vec<OsString>,
    },
    Test {
        scope: TestScope,
        filter: Option<String>,
    },
    /// `args` go to the `demo` binary as they are.
    Demo {
        args: Vec<OsString>,
    },
    /// `args` go to the `bench` binary as they are.
    Bench {
        args: Vec<OsString>,
    },
    Tidy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestScope {
    All,
    /// Everything that needs no running Worker, and no build of one.
    Unit,
    /// The end-to-end tests only.
    EndToEnd,
}

const HELP: &str = "\
cargo xtask COMMAND [OPTIONS]: set up, run, test and measure Portcullis.

Every command first installs what is missing, into $PORTCULLIS_CACHE
(else $XDG_CACHE_HOME/portcullis, else ~/.cache/portcullis).

  setup      install what is missing, and nothing else
  build      build both Workers, and print their sizes
  dev        run the service with a demo gateway, identity provider and origin
  test       tidy, build, and run every test
  demo       narrate the main job against a running stack
  bench      measure against the targets
  tidy       formatting, lints, file lengths, what core may depend on

`cargo xtask COMMAND --help` says more. Exit codes: 0 done, 1 a step failed,
2 bad command line, 3 something is missing (the message says how to get it).
";

const SETUP_HELP: &str = "\
cargo xtask setup: install what is missing (wasm32 target, build tools, Node, npm packages,
and, for tests, packages for the Python that is there).

  PORTCULLIS_CACHE=DIR    where it goes
  PORTCULLIS_WASM=debian  take the wasm32 target from Debian's compiler sources even if rustup has it
";

const BUILD_HELP: &str = "\
cargo xtask build: build both Workers as for a deployment, print their sizes, and see that they start.
A Worker whose code has not changed is left alone.
";

const DEV_HELP: &str = "\
cargo xtask dev [OPTIONS]: run everything on 127.0.0.1; prints `ready` when all answer. Ctrl-C ends it.

  --port N               service on N, gateway N+1, identity provider N+2, origin N+3 (8787)
  --persist DIR          where state is kept (.portcullis in the checkout)
  --fresh                start from empty state
  --bench                also the Workers of bench/, on N+4 to N+7, and people person-0 to person-15
  --people N             so many more people, person-0 and on
  --gateways N           so many gateways, each an isolate of its own: the second on N+8, and on (1)
  --chaos MODE           a Worker between gateways and service, on N+7, that fails as it is told to: normal at first
  --var NAME=VALUE       set one of the service's variables; an empty value removes it
  --gateway-var NAME=VALUE
                         the same for the gateway
  --gateway-file FILE    what the gateway does (crates/gateway/gateway.toml)
";

const TEST_HELP: &str = "\
cargo xtask test [--unit-only | --e2e-only] [FILTER]: tidy, build and every test.

  --unit-only    tidy and the tests that need no running Worker
  --e2e-only     build and the end-to-end tests
  FILTER         only tests whose name contains this
";

const DEMO_HELP: &str = "\
cargo xtask demo [--port N] [--json]: narrate the main job; non-zero if a step fails.

  --port N    use the stack that runs there
  --json      one JSON object per step
";

const BENCH_HELP: &str = "\
cargo xtask bench [NAME]... [OPTIONS]: a table, and target/bench/NAME.json in the checkout.

  NAME           strict-check, tokens, gateway, kill, scim or audit; without a name, each of them
  --seconds S    length of one measurement (2)
  --rounds R     measurements of each, interleaved; the median counts (5)
  --users N      scim: users of the largest directory (100000)
  --events N     audit: events of the largest log (1000000); half a kilobyte of disk each
  --full         audit: 10000000 events, as the targets have it
  --json         print the report instead of a table
";

const TIDY_HELP: &str = "\
cargo xtask tidy: rustfmt, clippy for host and wasm32, what core may depend on, file lengths.
";

pub fn parse() -> Result<Command, Failure> {
    let mut parser = Parser::from_env();
    let name = match parser.next()? {
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help(HELP)),
        Some(Value(name)) => name.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match name.as_str() {
        "help" => Ok(Command::Help(HELP)),
        "setup" => bare(parser, Command::Setup, SETUP_HELP),
        "build" => bare(parser, Command::Build, BUILD_HELP),
        "tidy" => bare(parser, Command::Tidy, TIDY_HELP),
        "dev" => passed_on(parser, DEV_HELP, |stack_args| Command::Dev { stack_args }),
        "demo" => passed_on(parser, DEMO_HELP, |args| Command::Demo { args }),
        "bench" => passed_on(parser, BENCH_HELP, |args| Command::Bench { args }),
        "test" => test(parser),
        other => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}

/// A command without arguments of its own.
fn bare(mut parser: Parser, command: Command, help: &'static str) -> Result<Command, Failure> {
    match parser.next()? {
        None => Ok(command),
        Some(Long("help") | Short('h')) => Ok(Command::Help(help)),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// A command whose arguments another program understands, and refuses if it does not.
fn passed_on(
    mut parser: Parser,
    help: &'static str,
    command: impl FnOnce(Vec<OsString>) -> Command,
) -> Result<Command, Failure> {
    let args: Vec<OsString> = parser.raw_args()?.collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Ok(Command::Help(help));
    }
    Ok(command(args))
}

fn test(mut parser: Parser) -> Result<Command, Failure> {
    let mut scope = TestScope::All;
    let mut filter = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(Command::Help(TEST_HELP)),
            Long("unit-only") if scope == TestScope::All => scope = TestScope::Unit,
            Long("e2e-only") if scope == TestScope::All => scope = TestScope::EndToEnd,
            Value(text) if filter.is_none() => filter = Some(text.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Test { scope, filter })
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}
