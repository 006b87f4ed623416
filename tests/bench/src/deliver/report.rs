//! What was measured, for people and machines.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::histogram::Histogram;

use super::case::Case;
use super::{Plan, Sample};

/// One case.
pub(super) struct Row {
    case: Case,
    connections: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the server's processes, the database's apart.
    server_cpu_us: f64,
    database_cpu_us: f64,
    /// Of load and destination.
    bench_cpu_us: f64,
    rss_mib: f64,
    backlog: u64,
    drain_ms: f64,
    duplicates: u64,
}

impl Row {
    pub(super) fn new(
        case: Case,
        plan: &Plan,
        (before, after): (&Sample, &Sample),
        latencies: &Histogram,
    ) -> Self {
        let delivered = as_f64(after.delivered - before.delivered);
        let each = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / delivered
        };
        Self {
            case,
            connections: plan.connections,
            per_second: delivered / as_f64(plan.seconds),
            p50_ms: latencies.quantile_ms(0.5),
            p99_ms: latencies.quantile_ms(0.99),
            server_cpu_us: each(before.own, after.own),
            database_cpu_us: each(before.database, after.database),
            bench_cpu_us: each(before.bench, after.bench),
            rss_mib: 0.0,
            backlog: after.accepted.saturating_sub(after.delivered),
            drain_ms: 0.0,
            duplicates: 0,
        }
    }

    pub(super) fn with_rest(self, resident: u64, drain: Duration, duplicates: u64) -> Self {
        Self {
            rss_mib: as_f64(resident) / f64::from(1 << 20),
            drain_ms: drain.as_secs_f64() * 1e3,
            duplicates,
            ..self
        }
    }

    fn cpu_us(&self) -> f64 {
        self.server_cpu_us + self.database_cpu_us
    }

    fn to_json(&self) -> Value {
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        json!({
            "case": self.case.name(),
            "connections": self.connections,
            "per_second": self.per_second.round(),
            "p50_ms": tenth(self.p50_ms),
            "p99_ms": tenth(self.p99_ms),
            "cpu_us": tenth(self.cpu_us()),
            "server_cpu_us": tenth(self.server_cpu_us),
            "database_cpu_us": tenth(self.database_cpu_us),
            "bench_cpu_us": tenth(self.bench_cpu_us),
            "rss_mib": tenth(self.rss_mib),
            "backlog": self.backlog,
            "drain_ms": self.drain_ms.round(),
            "duplicates": self.duplicates,
        })
    }
}

pub(super) fn print(rows: &[Row], plan: &Plan) {
    if plan.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        println!("{}", json!({ "backlog_max": plan.backlog, "rows": rows }));
        return;
    }
    println!(
        "{:<18}{:>6}{:>12}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}{:>9}{:>10}{:>7}",
        "case",
        "conns",
        "delivered/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "server",
        "db",
        "bench",
        "MiB",
        "backlog",
        "drain ms",
        "twice"
    );
    for row in rows {
        println!(
            "{:<18}{:>6}{:>12.0}{:>9.1}{:>9.1}{:>9.1}{:>8.1}{:>8.1}{:>8.1}{:>8.1}{:>9}{:>10.0}{:>7}",
            row.case.name(),
            row.connections,
            row.per_second,
            row.p50_ms,
            row.p99_ms,
            row.cpu_us(),
            row.server_cpu_us,
            row.database_cpu_us,
            row.bench_cpu_us,
            row.rss_mib,
            row.backlog,
            row.drain_ms,
            row.duplicates,
        );
    }
    let base = rows.iter().find(|row| row.case == Case::AxumOutbox);
    let Some(base) = base.filter(|_| rows.len() > 1) else {
        return;
    };
    println!("\n{:<34}{:>13}{:>9}", "ratio", "delivered/s", "CPU");
    for row in rows.iter().filter(|row| row.case != base.case) {
        println!(
            "{:<34}{:>12.2}x{:>8.2}x",
            format!("{} / {}", row.case.name(), base.case.name()),
            row.per_second / base.per_second,
            row.cpu_us() / base.cpu_us(),
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) const fn as_f64(count: u64) -> f64 {
    count as f64
}
