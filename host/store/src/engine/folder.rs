//! Folders that a loss of power leaves where they are.
//!
//! Syncing a file keeps its bytes; its name is kept by a sync of the folder that it is
//! in, and that folder's by one of the folder above. Engines sync what they make inside
//! their own folder, not the way to it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// How many folders above the engine's are synced whether they are new or not: the
/// store's own and the one that it was made in. A host that was cut off between making
/// and syncing them finds them there the next time.
const ABOVE: usize = 2;

/// Creates that folder with all above it, and returns once all of them stay.
pub(super) fn create(dir: &Path) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|above| !above.exists()).count();
    fs::create_dir_all(dir)?;
    for above in dir.ancestors().skip(1).take(missing.max(ABOVE)) {
        match sync(above) {
            // A folder that may be passed and not read is another user's, older than this.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

/// Returns once the names in that folder stay.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let dir = if dir.as_os_str().is_empty() {
        here
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_on_the_way_is_made_and_what_is_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b/c");
        create(&dir).unwrap();
        create(&dir).unwrap();
        assert!(dir.is_dir());
        sync(Path::new("")).unwrap();
        assert_eq!(
            sync(&dir.join("gone")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
