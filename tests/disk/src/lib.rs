//! What a disk still holds after the power failed.
//!
//! A library that is loaded before a process (`tests/preload`) writes a [`record`] of
//! every call that changes or syncs a file below one folder. From that log, up to any
//! moment of it, a [`Disk`] says what was on stable storage then, and [`image`] lays it
//! out as a folder that a host can be started on.
//!
//! # What is durable when
//!
//! **Bytes of a file**: those written before a `fsync` or `fdatasync` of it *began*, once
//! that call has *returned* success. Size changes count as bytes. `sync_file_range` does
//! not count: its manual says that it writes no metadata and does not flush a disk's
//! write cache. That is all sled 0.34 asks for on Linux; [`Rules::range_syncs_count`] is
//! there to show that this one call makes the difference.
//!
//! **Bytes after a failed sync**: lost for good, even where a later sync succeeds. Linux
//! reports a failed write-back once and marks the pages clean.
//!
//! **Names** (create, rename, unlink, mkdir), by [`Names`]: under POSIX alone, an entry
//! is durable once its own directory was synced, with what the directory held when that
//! call began; syncing the file is not enough, and syncing a new directory does not put
//! it into its parent. Ext4 and XFS give more: names go through one journal in order, and
//! an `fsync` of anything commits what is in it.
//!
//! **What was not synced** is gone, or, with [`Rules::torn`], partly there: write-back
//! may have taken any 4 KiB of it, in any order.
//!
//! Deliberately absent: file systems that reorder what was synced, and disks that lie
//! about a flush. No program survives these.

pub mod control;
pub mod image;
mod model;
mod names;
pub mod record;

pub use model::{Disk, Names, Rules, Unmodelled};
