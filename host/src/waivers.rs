//! Writes down which waivers the configuration brings: an open door has somebody who opened it.
//!
//! Each one that is new to this run of the host stands in the audit log once it takes effect,
//! so every start with an open door is a line there. If it cannot be written the log says so;
//! the door is the configuration's, and closing it here would only hide that.

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::errors::chain;
use tidegate_core::ports::Clock as _;
use tidegate_core::signature::Waiver;
use tidegate_store::Submission;
use tokio::sync::Mutex;

use crate::committer::JournalHandle;
use crate::config::Config;
use crate::system::SystemClock;

/// Writes down which waivers there are.
#[derive(Debug)]
pub(crate) struct WaiverLog {
    journal: JournalHandle,
    noted: Mutex<Vec<Waiver>>,
}

impl WaiverLog {
    /// One that has noted none.
    pub(crate) fn new(journal: JournalHandle) -> Self {
        Self {
            journal,
            noted: Mutex::default(),
        }
    }

    /// Notes those that are new, and forgets those that are gone.
    pub(crate) async fn configure(&self, config: &Config) {
        let now = SystemClock.now();
        let mut noted = self.noted.lock().await;
        noted.retain(|waiver| config.policy.waivers.contains(waiver));
        for waiver in &config.policy.waivers {
            if noted.contains(waiver) || !waiver.holds_at(now) {
                continue;
            }
            let Waiver {
                connection,
                reason,
                until,
            } = waiver;
            tracing::warn!(%connection, %reason, %until, "requests are not verified: a waiver is in force");
            let entry = AuditEntry {
                at: now,
                who: "configuration".into(),
                action: AuditAction::Waiver,
                subject: format!("{connection} until {until}"),
                reason: Some(reason.clone()),
                count: 1,
            };
            match self.journal.submit(Submission::Note(Box::new(entry))).await {
                Ok(_) => noted.push(waiver.clone()),
                Err(error) => {
                    tracing::error!(%connection, error = chain(&error), "a waiver is not in the audit log");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bed::Bed;
    use crate::config::ConfigSource;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiver_is_written_down_once() {
        let (bed, dir) = (Bed::new(), tempfile::tempdir().unwrap());
        let log = WaiverLog::new(bed.journal.clone());
        let file = dir.path().join("t.toml");
        for until in ["2999-01-01", "2999-01-01", "2999-01-02", "2001-01-01"] {
            let text = format!(
                "[connectors.erp]\nplugin = \"x.wasm\"\n[connections.\"erp/acme\"]\n[[policy.waivers]]\n\
                 connection = \"erp/acme\"\nreason = \"ticket 4711\"\nuntil = {until}\n"
            );
            fs::write(&file, text).unwrap();
            log.configure(&ConfigSource::new(Some(file.clone())).load().unwrap())
                .await;
        }
        let entries = bed.reader.audit(None, 9).unwrap().entries;
        let subjects: Vec<_> = entries.iter().map(|(_, entry)| &*entry.subject).collect();
        let expect = [
            "erp/acme until 2999-01-03T00:00:00Z",
            "erp/acme until 2999-01-02T00:00:00Z",
        ];
        assert_eq!(subjects, expect);
    }
}
