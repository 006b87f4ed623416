//! How much room there is.

use std::ffi::{CStr, c_char, c_int};

use crate::system;
use crate::watch::{Watch, control, watch};

/// How many of these bytes still fit.
pub(crate) fn fits(watch: &Watch, found: &libc::stat, offset: u64, length: usize) -> usize {
    let Some(budget) = control().budget() else {
        return length;
    };
    let size = u64::try_from(found.st_size).unwrap_or(0);
    let taken = u64::try_from(found.st_blocks).unwrap_or(0) * 512;
    let end = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    // What is written over takes no new room, unless the file has holes.
    if end <= size && taken >= size {
        return length;
    }
    let room = budget.saturating_sub(watch.used());
    length.min(usize::try_from(room).unwrap_or(usize::MAX))
}

/// Whether there is no room for anything new.
pub(crate) fn is_full(watch: &Watch) -> bool {
    control()
        .budget()
        .is_some_and(|budget| watch.used() >= budget)
}

type Real = unsafe extern "C" fn(*const c_char, *mut libc::statvfs) -> c_int;

fn real(name: &CStr) -> Option<Real> {
    // SAFETY: libc has this function, with this type; on 64 bits both names are one.
    unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, name.as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, Real>(found))
    }
}

/// # Safety
///
/// The contract of `statvfs`.
unsafe fn room_at(path: *const c_char, into: *mut libc::statvfs) -> c_int {
    let Some(real) = real(c"statvfs") else {
        system::set_errno(libc::ENOSYS);
        return -1;
    };
    // SAFETY: the caller's contract, handed on; after success `into` is filled.
    let (status, path, into) = unsafe { (real(path, into), system::path(path), &mut *into) };
    if status != 0 {
        return status;
    }
    if let (Some(budget), Some(watch)) = (control().budget(), watch()) {
        let found = system::stat_at(libc::AT_FDCWD, path);
        if found.is_some_and(|found| watch.node(&found).is_some()) {
            let unit = into.f_frsize.max(1);
            into.f_blocks = budget / unit;
            into.f_bfree = budget.saturating_sub(watch.used()) / unit;
            into.f_bavail = into.f_bfree;
        }
    }
    status
}

#[unsafe(no_mangle)]
unsafe extern "C" fn statvfs(path: *const c_char, into: *mut libc::statvfs) -> c_int {
    // SAFETY: the caller's contract with `statvfs`.
    unsafe { room_at(path, into) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn statvfs64(path: *const c_char, into: *mut libc::statvfs) -> c_int {
    // SAFETY: the caller's contract with `statvfs`; on 64 bits both types are one.
    unsafe { room_at(path, into) }
}
