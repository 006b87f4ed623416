//! Names: what makes, renames and removes files and directories.

use std::ffi::{CStr, CString, c_char, c_int, c_uint};

use libc::{AT_FDCWD, mode_t};
use tidegate_disk::record::{Kind, put_entry};

use crate::space::is_full;
use crate::system::{self, as_int, set_errno, stat, stat_at};
use crate::watch::{Watch, watch};

/// A path's directory, where that one is ours, and its last part.
struct Place {
    parent: u64,
    name: Vec<u8>,
}

fn place(watch: &Watch, directory: c_int, path: &CStr) -> Option<Place> {
    let mut bytes = path.to_bytes();
    while let [start @ .., b'/'] = bytes {
        bytes = start;
    }
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match slash {
        Some(0) => (b"/".as_slice(), bytes.get(1..)?),
        Some(slash) => (bytes.get(..slash)?, bytes.get(slash + 1..)?),
        None => (b".".as_slice(), bytes),
    };
    // With what stands after a link, as the call itself sees it.
    let parent = [parent, b"/."].concat();
    let found = stat_at(directory, &CString::new(parent).ok()?)?;
    let parent = watch.node(&found)?.number;
    let name = name.to_vec();
    Some(Place { parent, name })
}

/// It was made there: takes it up, or forgets whom its inode belonged to.
fn made(watch: &mut Watch, place: Option<&Place>, found: &libc::stat) {
    let Some(place) = place else {
        watch.forget(found);
        return;
    };
    let number = watch.insert(found);
    let mut body = Vec::new();
    put_entry(&mut body, place.parent, &place.name);
    let mode = u64::from(found.st_mode);
    watch.log.append(Kind::Created, number, mode, &body);
}

fn open_at(directory: c_int, path: &CStr, flags: c_int, mode: mode_t) -> c_int {
    let pass = || system::open(directory, path, flags, mode);
    if flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
        return pass();
    }
    let Some(mut watch) = watch() else {
        return pass();
    };
    if flags & libc::O_CREAT != 0 {
        let place = place(&watch, directory, path);
        if place.is_some() && is_full(&watch) && stat_at(directory, path).is_none() {
            set_errno(libc::ENOSPC);
            return -1;
        }
        // Whether it is new is known only where it must be.
        let fd = system::open(directory, path, flags | libc::O_EXCL, mode);
        if fd >= 0 {
            if let Some(found) = stat(fd) {
                made(&mut watch, place.as_ref(), &found);
            }
            return fd;
        }
        if system::errno() != libc::EEXIST || flags & libc::O_EXCL != 0 {
            return fd;
        }
    }
    let fd = pass();
    if fd >= 0
        && flags & libc::O_TRUNC != 0
        && let Some(found) = stat(fd)
        && let Some(node) = watch.node(&found)
    {
        watch.log.append(Kind::Resized, node.number, 0, &[]);
        watch.account(&found);
    }
    fd
}

fn make_directory(directory: c_int, path: &CStr, mode: mode_t) -> c_int {
    // SAFETY: the path ends with a zero byte.
    let call = || unsafe { libc::syscall(libc::SYS_mkdirat, directory, path.as_ptr(), mode) };
    let Some(mut watch) = watch() else {
        return as_int(call());
    };
    let place = place(&watch, directory, path);
    if place.is_some() && is_full(&watch) && stat_at(directory, path).is_none() {
        set_errno(libc::ENOSPC);
        return -1;
    }
    let status = as_int(call());
    if status == 0
        && let Some(found) = stat_at(directory, path)
    {
        made(&mut watch, place.as_ref(), &found);
    }
    status
}

fn remove(directory: c_int, path: &CStr, flags: c_int) -> c_int {
    // SAFETY: the path ends with a zero byte.
    let call = || unsafe { libc::syscall(libc::SYS_unlinkat, directory, path.as_ptr(), flags) };
    let Some(mut watch) = watch() else {
        return as_int(call());
    };
    let place = place(&watch, directory, path);
    let before = stat_at(directory, path);
    let status = as_int(call());
    if let (0, Some(place), Some(before)) = (status, place, before) {
        let number = watch.node(&before).map_or(0, |node| node.number);
        let mut body = Vec::new();
        put_entry(&mut body, place.parent, &place.name);
        watch.log.append(Kind::Unnamed, number, 0, &body);
        watch.unlinked(&before);
    }
    status
}

fn rename_at(from: (c_int, &CStr), to: (c_int, &CStr), flags: c_uint) -> c_int {
    // SAFETY: both paths end with a zero byte.
    let call = || unsafe {
        let call = libc::SYS_renameat2;
        libc::syscall(call, from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), flags)
    };
    let Some(mut watch) = watch() else {
        return as_int(call());
    };
    let (old, new) = (place(&watch, from.0, from.1), place(&watch, to.0, to.1));
    let (moved, replaced) = (stat_at(from.0, from.1), stat_at(to.0, to.1));
    let status = as_int(call());
    if status != 0 {
        return status;
    }
    let node = moved.and_then(|moved| watch.node(&moved));
    match (old, new, node) {
        (None, None, _) => {}
        (Some(old), Some(new), Some(node)) if flags & !libc::RENAME_NOREPLACE == 0 => {
            let mut body = Vec::new();
            put_entry(&mut body, old.parent, &old.name);
            put_entry(&mut body, new.parent, &new.name);
            watch
                .log
                .append(Kind::Named, node.number, new.parent, &body);
            if let Some(replaced) = replaced {
                watch.unlinked(&replaced);
            }
        }
        _ => watch.unseen("a rename into or out of the folder, or an exchange"),
    }
    status
}

fn unseen_at(directory: c_int, path: &CStr, what: &str) {
    if let Some(watch) = watch()
        && place(&watch, directory, path).is_some()
    {
        watch.unseen(what);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `open`. A mode that was not given is not used.
    unsafe { open_at(AT_FDCWD, system::path(path), flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `open`.
    unsafe { open(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `openat`.
    unsafe { open_at(at, system::path(path), flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `openat`.
    unsafe { openat(at, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    // SAFETY: the caller's contract with `creat`.
    unsafe { open(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `creat`.
    unsafe { creat(path, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `mkdir`.
    unsafe { make_directory(AT_FDCWD, system::path(path), mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(at: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's contract with `mkdirat`.
    unsafe { make_directory(at, system::path(path), mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's contract with `unlink`.
    unsafe { remove(AT_FDCWD, system::path(path), 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the caller's contract with `rmdir`.
    unsafe { remove(AT_FDCWD, system::path(path), libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(at: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's contract with `unlinkat`.
    unsafe { remove(at, system::path(path), flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's contract with `rename`.
    unsafe { renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(
    at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the caller's contract with `renameat`.
    unsafe { renameat2(at, from, to_at, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat2(
    at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's contract with `renameat2`.
    unsafe { rename_at((at, system::path(from)), (to_at, system::path(to)), flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn linkat(
    at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's contract with `linkat`, handed on.
    let status = unsafe {
        unseen_at(to_at, system::path(to), "a hard link");
        libc::syscall(libc::SYS_linkat, at, from, to_at, to, flags)
    };
    as_int(status)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's contract with `link`.
    unsafe { linkat(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate(path: *const c_char, length: libc::off_t) -> c_int {
    // SAFETY: the caller's contract with `truncate`, handed on.
    let status = unsafe {
        unseen_at(AT_FDCWD, system::path(path), "truncate by path");
        libc::syscall(libc::SYS_truncate, path, length)
    };
    as_int(status)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate64(path: *const c_char, length: libc::off_t) -> c_int {
    // SAFETY: the caller's contract with `truncate`.
    unsafe { truncate(path, length) }
}
