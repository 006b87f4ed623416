//! An outlet whose hand-overs are counted.

use std::sync::Arc;
use std::time::Instant;

use tidegate_core::change::Change;
use tidegate_core::failure::Failure;
use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::ports::{Outlet, OutletCapacity};
use tidegate_sinks::AnyOutlet;

use crate::metrics::Metrics;

/// A sink's outlet, counted.
#[derive(Debug)]
pub(super) struct Counted {
    outlet: AnyOutlet,
    sink: SinkName,
    metrics: Arc<Metrics>,
}

impl Counted {
    pub(super) const fn new(outlet: AnyOutlet, sink: SinkName, metrics: Arc<Metrics>) -> Self {
        Self {
            outlet,
            sink,
            metrics,
        }
    }
}

impl Outlet for Counted {
    fn capacity(&self) -> OutletCapacity {
        self.outlet.capacity()
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        let began = Instant::now();
        let results = self.outlet.deliver(changes).await;
        self.metrics
            .handed_over(&self.sink, &results, began.elapsed());
        results
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        self.outlet.cursor().await
    }
}
