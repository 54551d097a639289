//! A server that answers from a script and keeps what it was asked, and the binary run against it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A credential as the service has them in development.
pub const TOKEN: &str = "dev-admin";

/// What the server was asked.
#[derive(Debug)]
pub struct Asked {
    /// Method and target.
    pub line: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Asked {
    /// The header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// One answer: status, further header lines, body.
pub type Scripted = (u16, &'static str, String);

/// An answer as the service gives it.
pub fn json(status: u16, body: &Value) -> Scripted {
    (
        status,
        "content-type: application/json\r\n",
        body.to_string(),
    )
}

/// A problem as the service tells it.
pub fn problem(status: u16, title: &str, detail: &str) -> Scripted {
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status, "detail": detail,
    });
    let header = "content-type: application/problem+json\r\n";
    (status, header, body.to_string())
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A run that is being put together.
pub struct Run {
    command: Command,
    stdin: String,
    script: Vec<Scripted>,
}

/// The binary with these arguments, apart by spaces, in an environment that has a credential and
/// nothing else.
pub fn portcullis(args: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .env_clear()
        .env("PORTCULLIS_TOKEN", TOKEN)
        .args(args.split_whitespace());
    Run {
        command,
        stdin: String::new(),
        script: Vec::new(),
    }
}

impl Run {
    /// What the server answers next.
    pub fn answered(mut self, answer: Scripted) -> Self {
        self.script.push(answer);
        self
    }

    /// What is on standard input.
    pub fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    /// A variable, or none of that name.
    pub fn env(mut self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.command.env(name, value),
            None => self.command.env_remove(name),
        };
        self
    }

    /// Runs it against the server, which must be asked for all that it can answer.
    pub fn run(mut self) -> (Ran, Vec<Asked>) {
        let (url, server) = serve(std::mem::take(&mut self.script));
        let ran = self.env("PORTCULLIS_URL", Some(&url)).alone();
        // The binary has ended: a server that still waits was not asked for all of its script.
        for _ in 0..250 {
            if server.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(server.is_finished(), "not asked for everything: {ran:?}");
        let asked = server.join().expect("the server");
        (ran, asked)
    }

    /// Runs it against whatever its arguments and variables name.
    pub fn alone(mut self) -> Ran {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let mut stdin = child.stdin.take().expect("its input");
        // One that reads nothing may be gone already.
        let _ = stdin.write_all(self.stdin.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn serve(script: Vec<Scripted>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = std::thread::spawn(move || {
        let answer = |scripted| answer(&listener, scripted);
        script.into_iter().map(answer).collect()
    });
    (url, server)
}

fn answer(listener: &TcpListener, (status, headers, body): Scripted) -> Asked {
    let (stream, _) = listener.accept().expect("a caller");
    let asked = read(&stream);
    let head = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n",
        body.len()
    );
    let answer = format!("{head}connection: close\r\n\r\n{body}");
    // A caller that is gone is a matter for the test that looks at what it did.
    let _ = (&stream).write_all(answer.as_bytes());
    asked
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    };
    let request_line = line();
    let headers: Vec<(String, String)> = std::iter::from_fn(|| {
        let (name, value) = line()
            .split_once(": ")
            .map(|(a, b)| (a.to_lowercase(), b.to_owned()))?;
        Some((name, value))
    })
    .collect();
    let mut asked = Asked {
        line: request_line.trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::new(),
    };
    let length = asked.header("content-length").map(str::parse);
    let length = length.map_or(0, |length| length.expect("a length"));
    let body = reader.take(length).read_to_string(&mut asked.body);
    body.expect("a body");
    asked
}
