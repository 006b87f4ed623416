//! The compiler, in a process of its own.
//!
//! Compiling a plugin of 300 KiB takes 300 MiB, and whatever the allocator, much of that
//! stays with the process. A process that ends gives all of it back; and a plugin on which
//! the compiler runs out of memory or time takes nobody along.
//!
//! The process is a filter: a component on stdin, its compiled form on stdout
//! ([`Runtime::compile`](crate::Runtime::compile)). What it made goes through the cache like
//! everything that is compiled here. A process that cannot be started, or that refuses the
//! component, leaves the work and the words to this one.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A compiled form is some ten times as large as its plugin; a file that goes on for
/// longer than this is none.
const COMPILED_BYTES_MAX: u64 = 1 << 30;

/// How to start a process that compiles.
#[derive(Clone, Debug)]
pub struct CompilerProcess {
    /// The program: this one, or whatever does the same.
    pub program: PathBuf,
    /// What makes it compile from stdin to stdout.
    pub arguments: Vec<OsString>,
}

/// How long it may take: a plugin of a few hundred KiB takes seconds.
const TIME_MAX: Duration = Duration::from_mins(5);

/// Why there is no compiled form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCompiled {
    /// The process did not run or did not do its work.
    #[error("the compiler's process failed")]
    Process(#[from] io::Error),
    /// It says that it could not.
    #[error("the compiler's process gave up")]
    Refused,
    /// It was ended: by the kernel, for memory or time, by us, for time, or by a mistake in
    /// the compiler.
    #[error("the compiler was ended by signal {0}")]
    Ended(i32),
}

impl CompilerProcess {
    /// The compiled form of a component.
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, NotCompiled> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // It needs nothing of this process's, least of all secrets.
            .env_clear()
            // Ctrl-C is for the host; a compiler that it ended would look like a bad plugin.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let told = talk(&mut child, wasm);
        if told.is_err() {
            // Whatever it is doing, nobody waits for it.
            let _ = child.kill();
        }
        let status = child.wait()?;
        match (told, status.signal()) {
            (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            (_, Some(signal)) => Err(NotCompiled::Ended(signal)),
            (told, None) if status.success() => Ok(told?),
            (_, None) => Err(NotCompiled::Refused),
        }
    }
}

/// Gives it the component and takes what it makes of it. Returns once its pipes are closed,
/// and has it ended where that takes too long.
fn talk(child: &mut Child, wasm: &[u8]) -> io::Result<Vec<u8>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (at_end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, move || {
            let late = ended.recv_timeout(TIME_MAX) == Err(RecvTimeoutError::Timeout);
            if let (true, Some(pid)) = (late, pid) {
                // It is not waited for yet, so that the number is still its own.
                let _ = kill_process(pid, Signal::KILL);
            }
        })?;
        // At once, or each could wait for the other.
        let give = thread::Builder::new().spawn_scoped(scope, || {
            stdin.map_or(Ok(()), |mut stdin| stdin.write_all(wasm))
        })?;
        let mut compiled = Vec::new();
        let taken = stdout.map_or(Ok(0), |stdout| {
            stdout.take(COMPILED_BYTES_MAX).read_to_end(&mut compiled)
        });
        let given = give.join();
        drop(at_end);
        given.unwrap_or_else(|_| Err(io::Error::other("its writer panicked")))?;
        taken?;
        Ok(compiled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CompilerProcess {
        CompilerProcess {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
        }
    }

    #[test]
    fn what_a_process_makes_of_a_component_is_what_it_wrote() {
        let wasm = vec![7; 3 << 20];
        let made = shell("exec /bin/cat").compile(&wasm);
        assert!(made.unwrap() == wasm);
    }

    #[test]
    fn a_process_that_fails_is_told_from_one_that_was_ended() {
        let wasm = vec![7; 3 << 20];
        let failed = |script| shell(script).compile(&wasm).unwrap_err();
        assert!(matches!(failed("exit 1"), NotCompiled::Refused));
        assert!(matches!(failed("kill -9 $$"), NotCompiled::Ended(9)));
        assert!(
            matches!(failed("exit 0"), NotCompiled::Process(_)),
            "it took nothing"
        );
        let nobody = CompilerProcess {
            program: "/nowhere/tidegate".into(),
            arguments: Vec::new(),
        };
        assert!(matches!(
            nobody.compile(&wasm),
            Err(NotCompiled::Process(_))
        ));
    }
}
