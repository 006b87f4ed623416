//! The sinks of a host that is killed again and again: a webhook to a receiver of ours, a
//! file, and PostgreSQL. What each of them has is compared with what was acknowledged,
//! and in the end with the change log and the mirror.
//!
//! The receiver may be given a change twice, never another one under the same place; the
//! file has each once; and a trigger in the database writes down every row that was
//! really written, so that a change that is applied a second time shows.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::follow::seq_and_entity;
use crate::host::{Operator, Site, free_address};
use crate::postgres::Postgres;
use crate::receiver::{Received, Receiver, Reply};
use crate::requests::number_of_entity;

/// How long the receiver takes for a request: it falls behind the load, so that a kill finds
/// changes that were read from the log and not handed over.
const TAKES: Duration = Duration::from_millis(20);

/// Rows whose data is compared with the mirror's; all are compared by version and revision.
const DATA_ROWS: usize = 500;

const TABLE: &str = "tidegate_github_pull_request";

/// Writes down every row that is inserted or changed.
const TRIGGER: &str = "\
CREATE TABLE applied (id text, seq bigint);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO applied VALUES (NEW.id, NEW.seq); RETURN NULL; END $$;
CREATE TRIGGER applied AFTER INSERT OR UPDATE ON tidegate_github_pull_request
  FOR EACH ROW EXECUTE FUNCTION write_down();";

/// Three sinks of one site.
#[derive(Debug)]
pub struct Sinks {
    given: Arc<Mutex<Given>>,
    _receiver: Receiver,
    lines: Lines,
    postgres: Postgres,
    has_trigger: bool,
}

/// What the receiver was given.
#[derive(Debug, Default)]
struct Given {
    requests: usize,
    by_seq: HashMap<u64, usize>,
    entities: HashSet<usize>,
    /// When the first one came since that was last forgotten.
    first: Option<Instant>,
    wrong: Option<String>,
}

fn lock(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Given {
    fn take(&mut self, received: &Received) -> anyhow::Result<()> {
        self.first.get_or_insert(received.at);
        self.requests += 1;
        let attribute = |name| {
            let value = received.header(name);
            value.with_context(|| format!("a request without {name}"))
        };
        let seq: u64 = attribute("ce-sequence")?.parse()?;
        let number = number(attribute("ce-subject")?)?;
        let before = self.by_seq.insert(seq, number);
        ensure!(
            before.is_none_or(|before| before == number),
            "place {seq} was of {before:?}, and is of {number}"
        );
        self.entities.insert(number);
        Ok(())
    }
}

fn number(entity: &str) -> anyhow::Result<usize> {
    number_of_entity(entity).with_context(|| format!("nothing was sent about {entity}"))
}

impl Sinks {
    /// Starts what they lead to in that folder, and adds them to the configuration.
    pub fn attach(site: &Site, folder: &Path) -> anyhow::Result<Self> {
        let given: Arc<Mutex<Given>> = Arc::default();
        let taking = Arc::clone(&given);
        let receiver = Receiver::forgetful(free_address()?, move |received| {
            let mut given = lock(&taking);
            if let Err(error) = given.take(received) {
                given.wrong.get_or_insert(format!("{error:#}"));
            }
            drop(given);
            std::thread::sleep(TAKES);
            Reply::TAKEN
        })?;
        let postgres = Postgres::small(folder)?;
        let database = site.keep_secret("database-url", &postgres.database())?;
        let secret = site.keep_secret("sink-secret", "the receiver does not look at it")?;
        let (address, file) = (receiver.address(), folder.join("changes.ndjson"));
        site.configure(&format!(
            "[egress]\nallow = [\"127.0.0.1\"]\n\n\
             [sinks.hook]\nkind = \"webhook\"\nurl = \"http://{address}/\"\n\
             secret = \"{secret}\"\nformat = \"cloudevents-binary\"\nfrom = \"start\"\n\n\
             [sinks.archive]\nkind = \"file\"\npath = \"{}\"\nrotate_size = \"512GiB\"\n\
             from = \"start\"\n\n\
             [sinks.warehouse]\nkind = \"postgres\"\nurl = \"{database}\"\nfrom = \"start\"\n",
            file.display(),
        ))?;
        Ok(Self {
            given,
            _receiver: receiver,
            lines: Lines::new(file),
            postgres,
            has_trigger: false,
        })
    }

    /// How many of these the receiver has not been given yet. What comes from now on is
    /// the first that comes.
    pub fn behind(&self, answered: &HashSet<usize>) -> usize {
        let mut given = lock(&self.given);
        given.first = None;
        answered.difference(&given.entities).count()
    }

    /// When the first request came since [`Self::behind`] was asked.
    pub fn first(&self, within: Duration) -> anyhow::Result<Instant> {
        let began = Instant::now();
        loop {
            if let Some(first) = lock(&self.given).first {
                return Ok(first);
            }
            ensure!(
                began.elapsed() < within,
                "nothing was delivered in {within:?}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until each sink has all of these.
    pub fn wait_for(&mut self, answered: &HashSet<usize>, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.lines.read_on()?;
            let rows = self.rows()?;
            let given = lock(&self.given);
            if let Some(wrong) = &given.wrong {
                bail!("the receiver was given something else: {wrong}");
            }
            let missing = [&given.entities, &self.lines.entities, &rows]
                .map(|has| answered.difference(has).count());
            drop(given);
            if missing == [0; 3] {
                return Ok(());
            }
            ensure!(
                began.elapsed() < within,
                "after {within:?} receiver, file and database lack {missing:?} of {} events",
                answered.len()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The entities that the database has.
    fn rows(&mut self) -> anyhow::Result<HashSet<usize>> {
        if !self.has_trigger {
            let there = format!("SELECT to_regclass('{TABLE}') IS NOT NULL");
            if self.postgres.ask(&there)?.trim() != "t" {
                return Ok(HashSet::new());
            }
            self.postgres.ask(TRIGGER)?;
            self.has_trigger = true;
        }
        let ids = self.postgres.ask(&format!("SELECT id FROM {TABLE}"))?;
        ids.lines().map(number).collect()
    }

    /// Compares what each has with the change log and the mirror, and says how many
    /// requests there were more than changes.
    pub fn compare(&mut self, operator: &Operator, logged: &[Value]) -> anyhow::Result<usize> {
        self.lines.read_on()?;
        let given = lock(&self.given);
        for change in logged {
            let (seq, entity) = seq_and_entity(change)?;
            let expect = Some(number(&entity)?);
            for (name, by_seq) in [("receiver", &given.by_seq), ("file", &self.lines.by_seq)] {
                let has = by_seq.get(&seq).copied();
                ensure!(
                    has == expect,
                    "place {seq} is of {entity}, for the {name} of {has:?}"
                );
            }
        }
        let counts = [given.by_seq.len(), self.lines.by_seq.len()];
        ensure!(
            counts == [logged.len(); 2],
            "more than was ever logged: {counts:?}"
        );
        let repeated = given.requests - counts[0];
        drop(given);
        self.compare_database(operator)?;
        Ok(repeated)
    }

    fn compare_database(&self, operator: &Operator) -> anyhow::Result<()> {
        let twice = "SELECT id, seq, count(*) FROM applied GROUP BY id, seq HAVING count(*) > 1";
        let twice = self.postgres.ask(twice)?;
        ensure!(
            twice.is_empty(),
            "applied more than once in effect: {twice}"
        );
        let rows = format!("SELECT id, seq, version, revision FROM {TABLE}");
        let rows = self.postgres.ask(&rows)?;
        let mut rows: HashMap<&str, &str> = rows
            .lines()
            .filter_map(|row| row.split_once('\t'))
            .collect();
        let data = format!("SELECT id, data FROM {TABLE} ORDER BY seq DESC LIMIT {DATA_ROWS}");
        let data = self.postgres.ask(&data)?;
        let data: HashMap<&str, &str> = data
            .lines()
            .filter_map(|row| row.split_once('\t'))
            .collect();
        for entity in operator.entities()? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let id = text(&entity["entity"]["id"]);
            let expect = ["change", "version", "revision"].map(|member| text(&entity[member]));
            let row = rows.remove(id.as_str());
            ensure!(
                row == Some(expect.join("\t").as_str()),
                "{row:?} is no {entity}"
            );
            if let Some(data) = data.get(id.as_str()) {
                let data: Value = serde_json::from_str(data)?;
                ensure!(data == entity["data"], "{data} is no {entity}");
            }
        }
        ensure!(rows.is_empty(), "rows of nothing: {:?}", rows.keys());
        Ok(())
    }
}

/// A file that grows, a change a line.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    read: u64,
    by_seq: HashMap<u64, usize>,
    entities: HashSet<usize>,
}

impl Lines {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            by_seq: HashMap::new(),
            entities: HashSet::new(),
        }
    }

    /// Takes in the lines that are whole since the last time.
    fn read_on(&mut self) -> anyhow::Result<()> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in std::str::from_utf8(&text[..whole])?.lines() {
            let (seq, entity) = seq_and_entity(&serde_json::from_str(line)?)?;
            let number = number(&entity)?;
            let before = self.by_seq.insert(seq, number);
            ensure!(before.is_none(), "place {seq} stands twice in the file");
            self.entities.insert(number);
        }
        self.read += whole as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::entity_id;

    #[test]
    fn a_torn_line_waits_and_a_second_one_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path().join("changes.ndjson"));
        lines.read_on().unwrap();
        let line = |seq: u64| {
            let id = entity_id(9);
            format!("{{\"seq\":\"{seq}\",\"entity\":{{\"id\":\"{id}\"}}}}\n")
        };
        std::fs::write(&lines.path, line(1) + "{\"seq\"").unwrap();
        lines.read_on().unwrap();
        std::fs::write(&lines.path, line(1) + &line(2)).unwrap();
        lines.read_on().unwrap();
        assert_eq!(lines.by_seq, HashMap::from([(1, 9), (2, 9)]));
        std::fs::write(&lines.path, line(1) + &line(2) + &line(2)).unwrap();
        assert!(lines.read_on().is_err());
    }
}
