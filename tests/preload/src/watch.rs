//! What is watched: the folder's files by inode, the log, the room.
//!
//! A file is ours where its device and inode are known. Inodes are used again, so every
//! file that is made anywhere, seen by this library, gets a new number or is forgotten.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tidegate_disk::control::{CONTROL_BYTES, OFF, Word, variables};
use tidegate_disk::record::{Kind, ROOT, put_entry};

use crate::log::Log;
use crate::system;

/// Bytes of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// A file or directory that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Its number in the log.
    pub(crate) number: u64,
    /// Blocks that it took when last looked at.
    blocks: u64,
}

/// All that changes, behind one lock.
#[derive(Debug)]
pub(crate) struct Watch {
    device: u64,
    nodes: HashMap<u64, Node>,
    numbers: u64,
    syncs: u64,
    blocks: u64,
    pub(crate) log: Log,
}

/// The words that a driver may change at any time.
#[derive(Debug)]
pub(crate) struct Control(Option<&'static [AtomicU64; CONTROL_BYTES / 8]>);

struct Global {
    watch: Mutex<Watch>,
    control: Control,
}

static GLOBAL: OnceLock<Option<Global>> = OnceLock::new();

fn global() -> Option<&'static Global> {
    GLOBAL.get_or_init(start).as_ref()
}

/// The watch, locked; none where nothing is watched.
pub(crate) fn watch() -> Option<MutexGuard<'static, Watch>> {
    let watch = &global()?.watch;
    Some(watch.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The control words.
pub(crate) fn control() -> &'static Control {
    const NONE: &Control = &Control(None);
    global().map_or(NONE, |global| &global.control)
}

/// The watch, locked, and the node, where that open file is ours.
pub(crate) fn ours(fd: c_int) -> Option<(MutexGuard<'static, Watch>, Node, libc::stat)> {
    global()?;
    let found = system::stat(fd)?;
    let kind = found.st_mode & libc::S_IFMT;
    if kind != libc::S_IFREG && kind != libc::S_IFDIR {
        return None;
    }
    let watch = watch()?;
    let node = watch.node(&found)?;
    Some((watch, node, found))
}

fn variable(name: &str) -> Option<CString> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero byte, and what is found is copied at once.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_owned())
    }
}

fn start() -> Option<Global> {
    let folder = variable(variables::FOLDER)?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let fd = system::open(libc::AT_FDCWD, &folder, flags, 0);
    let root = system::stat(fd)?;
    let mut watch = Watch {
        device: root.st_dev,
        nodes: HashMap::new(),
        numbers: ROOT,
        syncs: 0,
        blocks: 0,
        log: variable(variables::LOG).map_or(Log::NONE, |path| Log::open(&path)),
    };
    watch.insert(&root);
    watch.find_all(fd, ROOT);
    system::close(fd);
    Some(Global {
        watch: Mutex::new(watch),
        control: Control(variable(variables::CONTROL).and_then(|path| map(&path))),
    })
}

fn map(path: &CStr) -> Option<&'static [AtomicU64; CONTROL_BYTES / 8]> {
    let fd = system::open(libc::AT_FDCWD, path, libc::O_RDWR | libc::O_CLOEXEC, 0);
    let reach = libc::PROT_READ | libc::PROT_WRITE;
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: a new mapping, which nothing else knows and nobody unmaps. The driver made
    // the file of this size; a mapping begins at a page, which is aligned for words, and
    // others change it only as whole words.
    unsafe {
        let at = libc::syscall(
            libc::SYS_mmap,
            nothing,
            CONTROL_BYTES,
            reach,
            libc::MAP_SHARED,
            fd,
            0_i64,
        );
        system::close(fd);
        if at == -1 {
            return None;
        }
        let at = usize::try_from(at).ok()?;
        let words: *const [AtomicU64; CONTROL_BYTES / 8] = std::ptr::with_exposed_provenance(at);
        words.as_ref()
    }
}

impl Control {
    fn word(&self, word: Word) -> Option<&AtomicU64> {
        let place = usize::try_from(word as u64 / 8).ok()?;
        self.0?.get(place)
    }

    /// Bytes that the folder may take; none where it may take all.
    pub(crate) fn budget(&self) -> Option<u64> {
        let budget = self.word(Word::Budget)?.load(Ordering::Relaxed);
        (budget != OFF).then_some(budget)
    }

    /// Counts a sync, and says whether it is the one to fail.
    pub(crate) fn fails_sync(&self) -> bool {
        let Some(word) = self.word(Word::FailingSync) else {
            return false;
        };
        let count = |left| match left {
            OFF => None,
            0 | 1 => Some(OFF),
            more => Some(more - 1),
        };
        let before = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        before.is_ok_and(|left| left <= 1)
    }
}

impl Watch {
    /// The node, where it is ours.
    pub(crate) fn node(&self, found: &libc::stat) -> Option<Node> {
        if found.st_dev != self.device {
            return None;
        }
        self.nodes.get(&found.st_ino).copied()
    }

    /// Takes it up, under a new number.
    pub(crate) fn insert(&mut self, found: &libc::stat) -> u64 {
        let number = self.numbers;
        self.numbers += 1;
        let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
        self.blocks += blocks;
        self.nodes.insert(found.st_ino, Node { number, blocks });
        number
    }

    /// A file was made somewhere else, with an inode that one of ours may have had.
    pub(crate) fn forget(&mut self, found: &libc::stat) {
        if found.st_dev == self.device {
            self.nodes.remove(&found.st_ino);
        }
    }

    /// Looks again at how much a file takes.
    pub(crate) fn account(&mut self, found: &libc::stat) {
        let now = u64::try_from(found.st_blocks).unwrap_or(0);
        self.set_blocks(found.st_ino, now);
    }

    /// A file lost a name; with the last one it takes no room.
    pub(crate) fn unlinked(&mut self, before: &libc::stat) {
        let is_directory = before.st_mode & libc::S_IFMT == libc::S_IFDIR;
        if is_directory || before.st_nlink <= 1 {
            self.set_blocks(before.st_ino, 0);
        }
    }

    fn set_blocks(&mut self, inode: u64, now: u64) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            self.blocks = self.blocks.saturating_sub(node.blocks) + now;
            node.blocks = now;
        }
    }

    /// Bytes that all of it takes.
    pub(crate) const fn used(&self) -> u64 {
        self.blocks.saturating_mul(BLOCK_BYTES)
    }

    /// A number for a sync: odd for one that also commits names.
    pub(crate) const fn next_sync(&mut self, full: bool) -> u64 {
        self.syncs += 2;
        self.syncs | full as u64
    }

    /// What a directory holds, as a body. Names that nobody was seen to make are told.
    pub(crate) fn listing(&mut self, directory: c_int) -> Vec<u8> {
        let mut body = Vec::new();
        for entry in system::list(directory) {
            if let Some(node) = self.nodes.get(&entry.inode) {
                put_entry(&mut body, node.number, &entry.name);
            } else {
                let name = String::from_utf8_lossy(&entry.name);
                self.unseen(&format!("{name} was made by an unseen call"));
            }
        }
        body
    }

    /// Tells what the log has no record for.
    pub(crate) fn unseen(&self, what: &str) {
        self.log.append(Kind::Unseen, ROOT, 0, what.as_bytes());
    }

    /// Takes up everything below a directory.
    fn find_all(&mut self, directory: c_int, parent: u64) {
        for entry in system::list(directory) {
            let Ok(name) = CString::new(entry.name) else {
                continue;
            };
            let Some(found) = system::stat_at(directory, &name) else {
                continue;
            };
            let number = self.insert(&found);
            let mut body = Vec::new();
            put_entry(&mut body, parent, name.as_bytes());
            let mode = u64::from(found.st_mode);
            self.log.append(Kind::Found, number, mode, &body);
            if found.st_mode & libc::S_IFMT == libc::S_IFDIR {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
                let fd = system::open(directory, &name, flags, 0);
                self.find_all(fd, number);
                system::close(fd);
            }
        }
    }
}
