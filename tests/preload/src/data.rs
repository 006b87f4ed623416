//! Bytes and sizes.

use std::ffi::{c_int, c_long, c_uint, c_void};

use libc::{off_t, size_t, ssize_t};
use tidegate_disk::record::Kind;

use crate::space::fits;
use crate::system::{as_int, errno, set_errno, stat};
use crate::watch::{ours, watch};

/// Writes there, or where the file stands; none where the file is not ours.
fn write_ours(fd: c_int, bytes: &[u8], at: Option<off_t>) -> Option<ssize_t> {
    let (mut watch, node, found) = ours(fd)?;
    let room_at = at.unwrap_or(found.st_size);
    let room = fits(
        &watch,
        &found,
        u64::try_from(room_at).unwrap_or(0),
        bytes.len(),
    );
    if room == 0 && !bytes.is_empty() {
        set_errno(libc::ENOSPC);
        return Some(-1);
    }
    let bytes = bytes.get(..room).unwrap_or(bytes);
    // SAFETY: the bytes outlive the calls.
    let wrote = unsafe {
        match at {
            Some(at) => libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), at),
            None => libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()),
        }
    };
    let Ok(count @ 1..) = usize::try_from(wrote) else {
        return ssize_t::try_from(wrote).ok();
    };
    // SAFETY: asks where the file stands and moves nothing.
    let end = || unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    let began = at.unwrap_or_else(|| end() - wrote);
    let written = bytes.get(..count).unwrap_or(bytes);
    let offset = u64::try_from(began).unwrap_or(0);
    watch
        .log
        .append(Kind::Written, node.number, offset, written);
    if let Some(found) = stat(fd) {
        watch.account(&found);
    }
    ssize_t::try_from(wrote).ok()
}

/// # Safety
///
/// So many bytes can be read there.
unsafe fn bytes<'a>(at: *const c_void, count: size_t) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as above, and not none of them.
    unsafe { std::slice::from_raw_parts(at.cast(), count) }
}

/// # Safety
///
/// So many parts can be read there, and what they name.
unsafe fn gather(parts: *const libc::iovec, count: c_int) -> Vec<u8> {
    let mut all = Vec::new();
    for number in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as above.
        unsafe {
            let part = &*parts.add(number);
            all.extend_from_slice(bytes(part.iov_base, part.iov_len));
        }
    }
    all
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, at: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's contract with `write`.
    unsafe {
        write_ours(fd, bytes(at, count), None)
            .unwrap_or_else(|| pass(libc::SYS_write, fd, at, count))
    }
}

/// # Safety
///
/// The contract of the call.
unsafe fn pass(call: c_long, fd: c_int, at: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: as above.
    unsafe { ssize_t::try_from(libc::syscall(call, fd, at, count)).unwrap_or(-1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    fd: c_int,
    at: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's contract with `pwrite`.
    unsafe {
        write_ours(fd, bytes(at, count), Some(offset)).unwrap_or_else(|| {
            let wrote = libc::syscall(libc::SYS_pwrite64, fd, at, count, offset);
            ssize_t::try_from(wrote).unwrap_or(-1)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, at: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the caller's contract with `pwrite`.
    unsafe { pwrite64(fd, at, count, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's contract with `writev`.
    unsafe {
        if is_ours(fd) {
            let all = gather(parts, count);
            if let Some(wrote) = write_ours(fd, &all, None) {
                return wrote;
            }
        }
        let wrote = libc::syscall(libc::SYS_writev, fd, parts, count);
        ssize_t::try_from(wrote).unwrap_or(-1)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's contract with `pwritev`.
    unsafe {
        if is_ours(fd) {
            let all = gather(parts, count);
            if let Some(wrote) = write_ours(fd, &all, Some(offset)) {
                return wrote;
            }
        }
        // The kernel takes the offset in two halves; the upper one is of no use here.
        let wrote = libc::syscall(libc::SYS_pwritev, fd, parts, count, offset, 0);
        ssize_t::try_from(wrote).unwrap_or(-1)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's contract with `pwritev`.
    unsafe { pwritev64(fd, parts, count, offset) }
}

fn is_ours(fd: c_int) -> bool {
    ours(fd).is_some()
}

fn resize(fd: c_int, length: off_t) -> c_int {
    // SAFETY: a call that takes numbers only.
    let pass = || as_int(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) });
    let Some((mut watch, node, _)) = ours(fd) else {
        return pass();
    };
    let status = pass();
    if status == 0 {
        let length = u64::try_from(length).unwrap_or(0);
        watch.log.append(Kind::Resized, node.number, length, &[]);
        if let Some(found) = stat(fd) {
            watch.account(&found);
        }
    }
    status
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    resize(fd, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    resize(fd, length)
}

fn allocate(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    // SAFETY: a call that takes numbers only.
    let pass = || as_int(unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) });
    let Some((mut watch, node, found)) = ours(fd) else {
        return pass();
    };
    let asked = usize::try_from(length).unwrap_or(usize::MAX);
    let from = u64::try_from(offset).unwrap_or(0);
    if fits(&watch, &found, from, asked) < asked {
        set_errno(libc::ENOSPC);
        return -1;
    }
    let status = pass();
    if status == 0 {
        let end = offset.saturating_add(length);
        match mode {
            0 if end > found.st_size => {
                let end = u64::try_from(end).unwrap_or(0);
                watch.log.append(Kind::Resized, node.number, end, &[]);
            }
            0 | libc::FALLOC_FL_KEEP_SIZE => {}
            _ => watch.unseen("fallocate of another kind"),
        }
        if let Some(found) = stat(fd) {
            watch.account(&found);
        }
    }
    status
}

#[unsafe(no_mangle)]
extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    allocate(fd, mode, offset, length)
}

#[unsafe(no_mangle)]
extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    allocate(fd, mode, offset, length)
}

/// Gives the error itself, as POSIX has it.
#[unsafe(no_mangle)]
extern "C" fn posix_fallocate(fd: c_int, offset: off_t, length: off_t) -> c_int {
    if allocate(fd, 0, offset, length) == 0 {
        0
    } else {
        errno()
    }
}

#[unsafe(no_mangle)]
extern "C" fn posix_fallocate64(fd: c_int, offset: off_t, length: off_t) -> c_int {
    posix_fallocate(fd, offset, length)
}

fn unseen(fd: c_int, what: &str) {
    if let Some((watch, ..)) = ours(fd) {
        watch.unseen(what);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    unseen(to, "copy_file_range");
    // SAFETY: the caller's contract, handed on.
    let copied = unsafe {
        let call = libc::SYS_copy_file_range;
        libc::syscall(call, from, from_at, to, to_at, count, flags)
    };
    ssize_t::try_from(copied).unwrap_or(-1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, at: *mut off_t, count: size_t) -> ssize_t {
    unseen(to, "sendfile");
    // SAFETY: the caller's contract, handed on.
    let sent = unsafe { libc::syscall(libc::SYS_sendfile, to, from, at, count) };
    ssize_t::try_from(sent).unwrap_or(-1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    at: *mut c_void,
    length: size_t,
    reach: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let is_shared = flags & libc::MAP_SHARED != 0 && reach & libc::PROT_WRITE != 0;
    if is_shared && flags & libc::MAP_ANONYMOUS == 0 && watch().is_some() {
        unseen(fd, "a shared mapping that can be written");
    }
    // SAFETY: the caller's contract, handed on.
    let mapped = unsafe { libc::syscall(libc::SYS_mmap, at, length, reach, flags, fd, offset) };
    std::ptr::with_exposed_provenance_mut(mapped.cast_unsigned().try_into().unwrap_or(usize::MAX))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    at: *mut c_void,
    length: size_t,
    reach: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the caller's contract with `mmap`.
    unsafe { mmap64(at, length, reach, flags, fd, offset) }
}
