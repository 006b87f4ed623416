//! `tidegate-bench ingest`: every case, and every key of its JSON.

use std::process::Command;

use serde_json::Value;

fn ingest(cases: &str) -> Vec<Value> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bench = Command::new(env!("CARGO_BIN_EXE_tidegate-bench"))
        .arg("--folder")
        .arg(folder.path())
        .args([
            "ingest",
            "--json",
            "--seconds",
            "1",
            "--connections",
            "4",
            "--cases",
            cases,
        ])
        .output()
        .unwrap();
    assert!(
        bench.status.success(),
        "{}",
        String::from_utf8_lossy(&bench.stderr)
    );
    let report: Value = serde_json::from_slice(&bench.stdout).unwrap();
    report["rows"].as_array().unwrap().clone()
}

#[track_caller]
fn check(row: &Value, case: &str) {
    assert_eq!(
        (&row["case"], &row["connections"]),
        (&case.into(), &4.into())
    );
    for key in [
        "requests_per_second",
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "cpu_us",
        "rss_mib",
    ] {
        assert!(row[key].as_f64().unwrap() > 0.0, "{key} of {row}");
    }
    assert!(row["p50_ms"].as_f64() <= row["p99_ms"].as_f64(), "{row}");
    assert!(row["p99_ms"].as_f64() <= row["p999_ms"].as_f64(), "{row}");
    assert_eq!(row["errors"].as_object().unwrap().len(), 0, "{row}");
}

#[test]
fn tidegate_and_bare_axum_answer_every_request() {
    let cases = [
        "axum-hmac",
        "tidegate-fjall",
        "tidegate-fjall-map",
        "tidegate-sled",
    ];
    let rows = ingest(&cases.join(","));
    assert_eq!(rows.len(), cases.len());
    for (row, case) in rows.iter().zip(cases) {
        check(row, case);
    }
    assert_eq!(
        rows[1]["changes_per_second"], 0.0,
        "mapping is off in {}",
        rows[1]
    );
    assert!(
        rows[2]["changes_per_second"].as_f64().unwrap() > 0.0,
        "{}",
        rows[2]
    );
}

#[test]
fn postgres_baseline_inserts_every_event() {
    check(&ingest("axum-postgres")[0], "axum-postgres");
}
