//! Plays the GitHub plugin's fixtures at a host, signed, slowly enough to be watched:
//! what was sent, how it was answered, and what became of it in the change log.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::host::{Operator, PATH};
use crate::http;
use crate::requests::{Signer, Webhook};

/// Longest wait for the host to listen.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Longest wait for an event to be mapped.
const MAPPED_WITHIN: Duration = Duration::from_secs(10);

/// Longest data shown of one change, in characters.
const DATA_SHOWN_MAX: usize = 96;

/// What to play where.
#[derive(Debug)]
pub struct Plan {
    /// The host's address for partners.
    pub ingress: SocketAddr,
    /// The host's operator API.
    pub operator: Operator,
    /// The webhook secret.
    pub secret: String,
    /// The folder with the fixtures.
    pub fixtures: PathBuf,
    /// Pause between two events.
    pub pause: Duration,
}

/// Plays all fixtures once, each on a line of its own with what became of it.
pub fn run(plan: &Plan, out: &mut dyn Write) -> anyhow::Result<()> {
    let fixtures = fixtures(&plan.fixtures)?;
    wait_ready(&plan.operator)?;
    let signer = Signer::new(&plan.secret);
    let mut cursor = plan.operator.get("/v1/changes?limit=1000")?;
    writeln!(
        out,
        "\nplaying {} signed GitHub webhooks at http://{}{PATH}\n",
        fixtures.len(),
        plan.ingress
    )?;
    for fixture in &fixtures {
        let webhook = Webhook {
            event: &fixture.event,
            delivery: &fixture.delivery,
            content_type: &fixture.content_type,
            body: &fixture.body,
        };
        let request = webhook.signed(&signer, PATH);
        let answer = http::exchange(plan.ingress, &request)?;
        let body = answer.json().unwrap_or(Value::Null);
        let (status, word) = (answer.status, body["status"].as_str().unwrap_or(""));
        let ended = match body["events"][0].as_str() {
            Some(event) => wait_ended(&plan.operator, event)?,
            None => "not stored".into(),
        };
        let what = format!("{}{}", fixture.event, fixture.action);
        writeln!(out, "{what:<30} {status} {word:<10} {ended}")?;
        let next = cursor["next"].as_str().context("changes without next")?;
        cursor = plan.operator.get(&format!("/v1/changes?since={next}"))?;
        for change in cursor["changes"].as_array().into_iter().flatten() {
            writeln!(out, "    {}", change_line(change))?;
        }
        std::thread::sleep(plan.pause);
    }
    writeln!(
        out,
        "\nall played; the host runs on: http://{}",
        plan.operator.address
    )?;
    Ok(())
}

/// A request of the plugin's fixtures.
struct Fixture {
    event: String,
    action: String,
    delivery: String,
    content_type: String,
    body: Vec<u8>,
}

fn fixtures(folder: &Path) -> anyhow::Result<Vec<Fixture>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no fixtures in {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".in.json") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| fixture(path).with_context(|| path.display().to_string());
    paths.iter().map(read).collect()
}

fn fixture(path: &Path) -> anyhow::Result<Fixture> {
    let file: Value = serde_json::from_slice(&fs::read(path)?)?;
    let header = |name: &str| {
        let value = file["headers"][name].as_str().map(str::to_owned);
        value.with_context(|| format!("no header {name}"))
    };
    let body = match &file["body"] {
        Value::String(text) => text.clone().into_bytes(),
        json => serde_json::to_vec(json)?,
    };
    Ok(Fixture {
        event: header("X-GitHub-Event")?,
        action: file["body"]["action"]
            .as_str()
            .map_or_else(String::new, |what| format!(" {what}")),
        delivery: header("X-GitHub-Delivery")?,
        content_type: header("Content-Type")?,
        body,
    })
}

fn wait_ready(operator: &Operator) -> anyhow::Result<()> {
    let (start, host) = (Instant::now(), parent_id());
    while !http::get(operator.address, "/readyz", "").is_ok_and(|answer| answer.status == 200) {
        ensure!(parent_id() == host, "whoever started the player has ended");
        ensure!(
            start.elapsed() < READY_WITHIN,
            "no host is ready at {}",
            operator.address
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn wait_ended(operator: &Operator, event: &str) -> anyhow::Result<String> {
    let start = Instant::now();
    loop {
        let event = operator.get(&format!("/v1/events/{event}"))?;
        let state = event["state"].as_str().unwrap_or("unknown");
        if state != "pending" || start.elapsed() > MAPPED_WITHIN {
            return Ok(match event["reason"].as_str() {
                Some(reason) => format!("{state}: {reason}"),
                None => state.to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn change_line(change: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let data = change["data"].to_string();
    let mut shown: String = data.chars().take(DATA_SHOWN_MAX).collect();
    if shown.len() < data.len() {
        shown.push('…');
    }
    format!(
        "change {:<5} {:<7} {} {}  {shown}",
        text(&change["seq"]),
        text(&change["operation"]),
        text(&change["entity"]["kind"]),
        text(&change["entity"]["id"]),
    )
}
