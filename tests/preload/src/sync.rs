//! Syncs.

use std::ffi::{c_int, c_long, c_uint};

use tidegate_disk::record::Kind;

use crate::system::{as_int, set_errno};
use crate::watch::{control, ours, watch};

fn sync(fd: c_int, call: c_long, full: bool) -> c_int {
    // SAFETY: a call that takes a descriptor and nothing else.
    let pass = || as_int(unsafe { libc::syscall(call, fd) });
    let Some((mut watch_held, node, found)) = ours(fd) else {
        return pass();
    };
    let number = watch_held.next_sync(full);
    let is_directory = found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let body = if is_directory && watch_held.log.is_open() {
        watch_held.listing(fd)
    } else {
        Vec::new()
    };
    let began = Kind::SyncBegan;
    watch_held.log.append(began, node.number, number, &body);
    // Others go on while the disk is asked.
    drop(watch_held);
    let status = if control().fails_sync() {
        set_errno(libc::EIO);
        -1
    } else {
        pass()
    };
    let ended = if status == 0 {
        Kind::Synced
    } else {
        Kind::SyncFailed
    };
    let error = crate::system::errno();
    if let Some(watch) = watch() {
        watch.log.append(ended, node.number, number, &[]);
    }
    set_errno(error);
    status
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync, true)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync, false)
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: c_int, offset: i64, length: i64, flags: c_uint) -> c_int {
    let held = ours(fd);
    // SAFETY: a call that takes numbers only.
    let status =
        as_int(unsafe { libc::syscall(libc::SYS_sync_file_range, fd, offset, length, flags) });
    if let (0, Some((watch, node, _))) = (status, held) {
        watch.log.append(Kind::RangeSynced, node.number, 0, &[]);
    }
    status
}

#[unsafe(no_mangle)]
extern "C" fn syncfs(fd: c_int) -> c_int {
    if let Some((watch, ..)) = ours(fd) {
        watch.unseen("syncfs");
    }
    // SAFETY: a call that takes a descriptor.
    as_int(unsafe { libc::syscall(libc::SYS_syncfs, fd) })
}
