//! A notice for a program: JSON on its standard input.
//!
//! It is started without a shell, with nothing in its environment but `PATH`, and ended
//! when its time is over. What it says goes into the failure where it ends badly.

use std::process::Stdio;
use std::time::Duration;

use tidegate_core::alert::Notice;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ports::Messenger;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::NOTICE_TIMEOUT;
use super::notice::document;
use crate::webhook::excerpt;

/// Most bytes of its output that are kept; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// A channel that runs a program.
#[derive(Clone, Debug)]
pub struct CommandChannel {
    program: String,
    arguments: Vec<String>,
    operator_url: String,
    timeout: Duration,
}

impl CommandChannel {
    /// A channel that runs that program with those arguments.
    pub fn new(program: String, arguments: Vec<String>, operator_url: String) -> Self {
        Self {
            program,
            arguments,
            operator_url,
            timeout: NOTICE_TIMEOUT,
        }
    }

    /// The same with less time.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    fn failed(&self, what: &str) -> Failure {
        let message = format!("the program {} {what}", self.program);
        Failure::new(FailureClass::TRANSIENT, message)
    }
}

impl Messenger for CommandChannel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let mut input = document(notice, &self.operator_url).to_string();
        input.push('\n');
        let mut child = self
            .start()
            .map_err(|error| self.failed(&format!("could not be started: {error}")))?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let give = async move {
            if let Some(mut stdin) = stdin {
                // A program need not read what it is given.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let run = async { tokio::join!(give, kept(stderr), child.wait()) };
        // Dropped unfinished, it is killed.
        let Ok(((), said, ended)) = tokio::time::timeout(self.timeout, run).await else {
            let took = self.timeout.as_millis();
            return Err(self.failed(&format!("was ended after {took} ms")));
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.failed(&format!("ended with {status}{}", excerpt(&said)))),
            Err(error) => Err(self.failed(&format!("could not be waited for: {error}"))),
        }
    }
}

/// The beginning of what is read until the end.
async fn kept(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    if let Some(mut output) = output {
        while let Ok(length @ 1..) = output.read(&mut piece).await {
            let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(length);
            kept.extend_from_slice(piece.get(..room).unwrap_or_default());
        }
    }
    kept
}
