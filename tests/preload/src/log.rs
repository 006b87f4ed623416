//! The log's writing end.

use std::ffi::{CStr, c_int};

use tidegate_disk::record::{Header, Kind, ROOT};

use crate::system;

/// Exit code of a process whose log cannot be written.
const LOG_FAILED: c_int = 97;

/// An open log, or none where nothing is recorded.
#[derive(Debug)]
pub(crate) struct Log(Option<c_int>);

impl Log {
    /// No log.
    pub(crate) const NONE: Self = Self(None);

    /// Opens the log of this process. Numbers are a process's own, so that one which
    /// another has begun cannot be gone on with, and says so.
    pub(crate) fn open(path: &CStr) -> Self {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        let fd = system::open(libc::AT_FDCWD, path, flags, 0o600);
        if fd < 0 {
            end();
        }
        let log = Self(Some(fd));
        if system::stat(fd).is_some_and(|found| found.st_size > 0) {
            log.append(Kind::Unseen, ROOT, 0, b"a second process");
        }
        log
    }

    /// Whether anything is recorded.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Appends one record.
    pub(crate) fn append(&self, kind: Kind, node: u64, value: u64, body: &[u8]) {
        let Some(log) = self.0 else { return };
        let Ok(length) = u32::try_from(body.len()) else {
            end()
        };
        let header = Header {
            kind,
            time: system::now(),
            node,
            value,
            length,
        };
        let header = header.to_bytes();
        let parts = [part(&header), part(body)];
        // SAFETY: two parts, each of memory that outlives the call.
        let wrote = unsafe { libc::syscall(libc::SYS_writev, log, parts.as_ptr(), parts.len()) };
        if usize::try_from(wrote).ok() != Some(header.len() + body.len()) {
            end();
        }
    }
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn end() -> ! {
    // SAFETY: ends the process at once and runs nothing of it.
    unsafe { libc::_exit(LOG_FAILED) }
}
