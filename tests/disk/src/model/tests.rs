use proptest::prelude::*;

use super::*;
use crate::image::lay_out;
use crate::record::put_entry;

const FILE: u64 = 0o100_600;
const FOLDER: u64 = 0o040_700;

/// A log, written call by call.
#[derive(Default)]
struct Story {
    log: Vec<u8>,
    time: u64,
    syncs: u64,
}

impl Story {
    fn put(&mut self, kind: Kind, node: u64, value: u64, body: &[u8]) -> &mut Self {
        self.time += 1;
        let header = Header {
            kind,
            time: self.time,
            node,
            value,
            length: u32::try_from(body.len()).unwrap(),
        };
        self.log.extend_from_slice(&header.to_bytes());
        self.log.extend_from_slice(body);
        self
    }

    fn names(&mut self, kind: Kind, node: u64, value: u64, names: &[(u64, &str)]) -> &mut Self {
        let mut body = Vec::new();
        for (node, name) in names {
            put_entry(&mut body, *node, name.as_bytes());
        }
        self.put(kind, node, value, &body)
    }

    fn create(&mut self, node: u64, parent: u64, name: &str) -> &mut Self {
        self.names(Kind::Created, node, FILE, &[(parent, name)])
    }

    fn write(&mut self, node: u64, offset: u64, bytes: &[u8]) -> &mut Self {
        self.put(Kind::Written, node, offset, bytes)
    }

    fn sync(&mut self, node: u64) -> &mut Self {
        self.sync_holding(node, &[])
    }

    fn sync_holding(&mut self, node: u64, listing: &[(u64, &str)]) -> &mut Self {
        self.syncs += 2;
        let number = self.syncs + 1;
        self.names(Kind::SyncBegan, node, number, listing)
            .put(Kind::Synced, node, number, &[])
    }

    fn sync_fails(&mut self, node: u64) -> &mut Self {
        self.syncs += 2;
        let number = self.syncs + 1;
        self.put(Kind::SyncBegan, node, number, &[])
            .put(Kind::SyncFailed, node, number, &[])
    }

    /// What is there after a power cut now: paths and contents.
    fn survives(&self, rules: &Rules) -> Vec<(String, String)> {
        let image = Disk::at(&self.log, self.time).unwrap().image(rules);
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("old"), "as found").unwrap();
        let target = folder.path().join("target");
        lay_out(&image, &base, &self.log, &target).unwrap();
        let mut files: Vec<_> = image
            .files
            .iter()
            .map(|file| {
                let bytes = std::fs::read(target.join(&file.path)).unwrap();
                let text = String::from_utf8_lossy(&bytes).replace('\0', "_");
                (file.path.display().to_string(), text)
            })
            .collect();
        files.sort();
        files
    }
}

const JOURNALED: Rules = Rules {
    names: Names::Journaled,
    ..Rules::STRICT
};

#[track_caller]
fn check(rules: &Rules, tell: impl FnOnce(&mut Story), expect: &[(&str, &str)]) {
    let mut story = Story::default();
    tell(&mut story);
    let survives = story.survives(rules);
    let survives: Vec<_> = survives
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    assert_eq!(survives, expect);
}

#[test]
fn bytes_count_once_their_file_was_synced() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .write(1, 0, b"IS")
            .sync(1)
            .write(1, 3, b"LOST");
    };
    check(&Rules::STRICT, tell, &[("old", "IS found")]);
}

#[test]
fn bytes_written_while_a_sync_runs_do_not_count() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .put(Kind::SyncBegan, 1, 3, &[])
            .write(1, 0, b"XX")
            .put(Kind::Synced, 1, 3, &[]);
    };
    check(&Rules::STRICT, tell, &[("old", "as found")]);
}

#[test]
fn a_synced_file_has_its_name_only_where_names_are_journaled_or_its_directory_synced() {
    let made = |story: &mut Story| {
        story.create(1, ROOT, "new").write(1, 0, b"bytes").sync(1);
    };
    check(&Rules::STRICT, made, &[]);
    check(&JOURNALED, made, &[("new", "bytes")]);
    let with_directory = |story: &mut Story| {
        made(story);
        story.sync_holding(ROOT, &[(1, "new")]);
    };
    check(&Rules::STRICT, with_directory, &[("new", "bytes")]);
}

#[test]
fn a_name_without_its_bytes_is_an_empty_file() {
    let tell = |story: &mut Story| {
        story
            .create(1, ROOT, "new")
            .write(1, 0, b"bytes")
            .sync_holding(ROOT, &[(1, "new")]);
    };
    check(&Rules::STRICT, tell, &[("new", "")]);
}

#[test]
fn a_directory_is_in_its_parent_only_once_the_parent_was_synced() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Created, 1, FOLDER, &[(ROOT, "sub")])
            .create(2, 1, "new")
            .sync(2)
            .sync_holding(1, &[(2, "new")]);
    };
    check(&Rules::STRICT, tell, &[]);
    check(&JOURNALED, tell, &[("sub/new", "")]);
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let renamed = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .create(2, ROOT, "tmp")
            .write(2, 0, b"new")
            .sync(2)
            .names(Kind::Named, 2, ROOT, &[(ROOT, "tmp"), (ROOT, "old")]);
    };
    check(&Rules::STRICT, renamed, &[("old", "as found")]);
    check(&JOURNALED, renamed, &[("old", "as found"), ("tmp", "new")]);
    let synced = |story: &mut Story| {
        renamed(story);
        story.sync_holding(ROOT, &[(2, "old")]);
    };
    check(&Rules::STRICT, synced, &[("old", "new")]);
    check(&JOURNALED, synced, &[("old", "new")]);
}

#[test]
fn what_was_deleted_is_back_unless_its_directory_was_synced() {
    let tell = |story: &mut Story| {
        story.names(Kind::Found, 1, FILE, &[(ROOT, "old")]).names(
            Kind::Unnamed,
            1,
            0,
            &[(ROOT, "old")],
        );
    };
    check(&Rules::STRICT, tell, &[("old", "as found")]);
    let synced = |story: &mut Story| {
        tell(story);
        story.sync_holding(ROOT, &[]);
    };
    check(&Rules::STRICT, synced, &[]);
}

#[test]
fn a_failed_sync_loses_what_it_was_for_even_if_a_later_one_succeeds() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .write(1, 0, b"XX")
            .sync_fails(1)
            .write(1, 3, b"F")
            .sync(1);
    };
    check(&Rules::STRICT, tell, &[("old", "as Found")]);
}

#[test]
fn range_syncs_count_only_where_asked() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .write(1, 0, b"IS")
            .put(Kind::RangeSynced, 1, 0, &[])
            .write(1, 0, b"no");
    };
    check(&Rules::STRICT, tell, &[("old", "as found")]);
    let counting = Rules {
        range_syncs_count: true,
        ..Rules::STRICT
    };
    check(&counting, tell, &[("old", "IS found")]);
}

#[test]
fn sizes_are_bytes_too() {
    let tell = |story: &mut Story| {
        story
            .names(Kind::Found, 1, FILE, &[(ROOT, "old")])
            .put(Kind::Resized, 1, 2, &[])
            .put(Kind::Resized, 1, 4, &[])
            .sync(1)
            .put(Kind::Resized, 1, 0, &[]);
    };
    check(&Rules::STRICT, tell, &[("old", "as__")]);
}

#[test]
fn a_cut_hides_what_came_later() {
    let mut story = Story::default();
    story.names(Kind::Found, 1, FILE, &[(ROOT, "old")]);
    let before = story.time;
    story.write(1, 0, b"XX").sync(1);
    let image = Disk::at(&story.log, before).unwrap().image(&Rules::STRICT);
    assert_eq!(image.files[0].steps, []);
}

#[test]
fn what_is_not_modelled_is_an_error() {
    let mut story = Story::default();
    story.put(Kind::Unseen, 1, 0, b"mmap");
    let error = Disk::at(&story.log, story.time).unwrap_err();
    assert!(error.to_string().contains("mmap"), "{error}");
}

#[test]
fn a_name_that_came_by_a_call_past_the_recorder_is_an_error() {
    let mut story = Story::default();
    story.create(1, ROOT, "tmp");
    story.sync_holding(ROOT, &[(1, "current")]);
    let error = Disk::at(&story.log, story.time).unwrap_err();
    assert!(error.to_string().contains("current"), "{error}");
}

proptest! {
    /// Tearing never takes what is durable, and never invents bytes: with one letter for
    /// each write, every byte after the durable ones is a letter written there, or what
    /// was there before.
    #[test]
    fn tearing_keeps_what_is_durable(seed: u64, writes in 1_u8..20, synced in 0_u8..20) {
        let mut story = Story::default();
        story.create(1, ROOT, "new").sync_holding(ROOT, &[(1, "new")]);
        for number in 0..writes {
            let letter = b'a' + number;
            story.write(1, u64::from(number) * 3000, &[letter; 3000]);
            if number + 1 == synced {
                story.sync(1);
            }
        }
        let rules = Rules { torn: Some(seed), ..Rules::STRICT };
        let survives = story.survives(&rules);
        let text = survives[0].1.as_bytes();
        let durable = if synced <= writes { usize::from(synced) * 3000 } else { 0 };
        prop_assert!(text.len() >= durable);
        for (place, byte) in text.iter().enumerate() {
            let written = b'a' + u8::try_from(place / 3000).unwrap();
            prop_assert!(*byte == written || (place >= durable && *byte == b'_'));
        }
        prop_assert_eq!(survives, story.survives(&rules));
    }
}
