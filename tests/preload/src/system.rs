//! The system calls that this library makes itself: never through a function that it
//! stands before.

use std::ffi::{CStr, c_char, c_int};

/// Sets the error that the caller will read.
pub(crate) fn set_errno(error: c_int) {
    // SAFETY: libc's own place for this thread's error.
    unsafe { *libc::__errno_location() = error };
}

/// The error of the call before.
pub(crate) fn errno() -> c_int {
    // SAFETY: libc's own place for this thread's error.
    unsafe { *libc::__errno_location() }
}

/// What the system knows of an open file.
pub(crate) fn stat(fd: c_int) -> Option<libc::stat> {
    // SAFETY: all zeroes is a valid `stat`, and the call writes no more than one.
    let (status, found) = unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        (libc::fstat(fd, &raw mut found), found)
    };
    (status == 0).then_some(found)
}

/// What the system knows of a path, without following a link at its end.
pub(crate) fn stat_at(directory: c_int, path: &CStr) -> Option<libc::stat> {
    // SAFETY: all zeroes is a valid `stat`, and the call writes no more than one.
    let (status, found) = unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        let at = libc::AT_SYMLINK_NOFOLLOW;
        (
            libc::fstatat(directory, path.as_ptr(), &raw mut found, at),
            found,
        )
    };
    (status == 0).then_some(found)
}

/// Now, on the monotonic clock, in nanoseconds.
pub(crate) fn now() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Opens, past this library.
pub(crate) fn open(directory: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the path ends with a zero byte.
    let fd = unsafe { libc::syscall(libc::SYS_openat, directory, path.as_ptr(), flags, mode) };
    as_int(fd)
}

/// Closes a file of this library's own.
pub(crate) fn close(fd: c_int) {
    // SAFETY: the descriptor is ours alone.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Narrows what a system call gave.
pub(crate) fn as_int(value: libc::c_long) -> c_int {
    c_int::try_from(value).unwrap_or(-1)
}

/// An entry of a directory, as the system lists it.
pub(crate) struct Listed {
    pub(crate) inode: u64,
    pub(crate) name: Vec<u8>,
}

/// What the directory holds, without itself and its parent.
pub(crate) fn list(directory: c_int) -> Vec<Listed> {
    const BUFFER: usize = 32 * 1024;
    /// Where an entry's length, kind and name stand in `linux_dirent64`.
    const LENGTH_AT: usize = 16;
    const NAME_AT: usize = 19;
    let mut found = Vec::new();
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // Another descriptor, so that the caller's place in the directory stays.
    let fd = open(directory, c".", flags, 0);
    if fd < 0 {
        return found;
    }
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        // SAFETY: the buffer is as long as it is said to be.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), BUFFER) };
        let Some(mut rest) = usize::try_from(read)
            .ok()
            .and_then(|read| buffer.get(..read))
        else {
            break;
        };
        if rest.is_empty() {
            break;
        }
        while let (Some(inode), Some(length)) = (rest.first_chunk(), word(rest, LENGTH_AT)) {
            let Some((entry, after)) = rest.split_at_checked(usize::from(length)) else {
                break;
            };
            let name = entry.get(NAME_AT..).unwrap_or_default();
            let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
            if name != b"." && name != b".." {
                let inode = u64::from_ne_bytes(*inode);
                found.push(Listed { inode, name });
            }
            rest = after;
        }
    }
    close(fd);
    found
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*two))
}

/// A path that a caller gave.
///
/// # Safety
///
/// It ends with a zero byte, as the caller's contract with libc says.
pub(crate) unsafe fn path<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: as above.
    unsafe { CStr::from_ptr(path) }
}
