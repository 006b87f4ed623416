//! Stands between a process and its disk.
//!
//! Loaded before libc (`LD_PRELOAD`), it takes the calls that change or sync files and
//! looks for those below one folder; all others go through untouched. By environment
//! (see `tidegate_disk::control`) it does up to three things:
//!
//! - **Record.** Every change of a file, a name or a size and every sync goes to a log,
//!   with its bytes. `tidegate_disk` tells from the log what a power cut would leave.
//! - **Fill up.** The folder may take so many bytes; what goes beyond is `ENOSPC`, after
//!   as much of a write as still fits, and `statvfs` tells of the room that is left.
//! - **Fail a sync.** The n-th sync from now is `EIO`. The bytes that it was for stay in
//!   the page cache, as on ext4; that they are lost to the disk is the log's to tell.
//!
//! A call and its record are made under one lock, in this order: what the log tells has
//! happened, and what a caller was told to have happened is in the log. A log that cannot
//! be written ends the process, since everything that relies on it would be wrong.
//!
//! What the log has no record for (a shared mapping that can be written, a hard link, a
//! copy inside the kernel) is told as unseen, and a driver fails on it. System calls that
//! do not go through libc are not met at all: that is why rustix goes through libc in
//! this workspace. A listing goes with every sync of a directory, so that a name which
//! came by such a call is noticed by the model.
//!
//! Deliberately absent: calls of libc's own that allocate a stream or a child, which no
//! engine uses.

#![expect(
    unsafe_code,
    reason = "a C interface in both directions; each use says why it holds"
)]

mod data;
mod log;
mod names;
mod space;
mod sync;
mod system;
mod watch;
