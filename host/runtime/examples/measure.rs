#![allow(warnings, clippy::all, clippy::pedantic)]
#[path = "../../../tests/bench-map/src/native.rs"]
mod native;
use std::time::{Duration, Instant};
use bytes::Bytes;
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::ids::EventId;
use tidegate_core::mapping::{MapCall, Mapped};
use tidegate_core::ports::Mapper;
use tidegate_core::time::Timestamp;
use tidegate_runtime::*;

fn event(webhook: &tidegate_sdk::Webhook) -> Event {
    Event {
        connection: "github/acme".parse().unwrap(),
        partner_id: webhook.event_id.clone(),
        received: Timestamp::from_micros(webhook.received_at.as_micros()),
        method: webhook.method.clone(),
        path: webhook.path.clone(),
        query: webhook.query.clone(),
        headers: webhook.headers.iter().map(|h| (h.name.clone(), Bytes::copy_from_slice(&h.value))).collect(),
        body: Bytes::copy_from_slice(&webhook.body),
        body_authenticated: BodyAuthenticated::Full,
    }
}
fn call(event: &Event, number: u64) -> MapCall<'_> {
    static SETTINGS: Bytes = Bytes::from_static(b"{}");
    MapCall { id: EventId::new(number), event, base_url: None, settings: &SETTINGS }
}
fn time(events: &[Event], m: &impl Mapper, secs: f64) -> (f64, f64, f64) {
    let mut t = Vec::new();
    let begin = Instant::now();
    let mut n = 0u64;
    for e in events.iter().cycle() {
        let s = Instant::now();
        std::hint::black_box(m.map(&call(e, n)));
        n += 1;
        let el = s.elapsed();
        if begin.elapsed().as_secs_f64() > 0.2 { t.push(el.as_nanos() as u64); }
        if begin.elapsed().as_secs_f64() > secs { break; }
    }
    t.sort();
    let q = |p: f64| t[((t.len() - 1) as f64 * p) as usize] as f64 / 1000.;
    (q(0.05), q(0.5), q(0.99))
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let wasm = std::fs::read(&args[1]).unwrap();
    let mode = args.get(2).map(|s| s.as_str()).unwrap_or("both");
    let secs: f64 = args.get(3).and_then(|s| s.parse().ok()).unwrap_or(1.5);
    let runtime = Runtime::new(RuntimeOptions { cache_dir: Some("/tmp/tgcache".into()), ..Default::default() }).unwrap();
    let t = Instant::now();
    let plugin = runtime.load(&wasm).unwrap();
    println!("load {:?} cached {}", t.elapsed(), plugin.from_cache());
    let t = Instant::now();
    let plugin = runtime.load(&wasm).unwrap();
    println!("load {:?} cached {}", t.elapsed(), plugin.from_cache());
    let mut all = vec![]; let mut full = vec![];
    for f in tidegate_sdk::testing::load_fixtures(std::path::Path::new("plugins/github/fixtures")).unwrap() {
        let e = event(&f.webhook);
        if !matches!(native::Native.map(&call(&e, 1)).answer, Ok(Mapped::Mapping(_))) { continue; }
        let a = native::Native.map(&call(&e, 1)).answer; let b = plugin.map(&call(&e, 1)).answer;
        assert_eq!(a, b);
        if f.name == "pull_request_full_size" { full.push(e) } else { all.push(e) }
    }
    let skip = Event { headers: vec![("x-github-event".into(), Bytes::from_static(b"fork"))], body: Bytes::from_static(b"{}"), ..all[0].clone() };
    let skip = vec![skip];
    let octo: Vec<Event> = std::fs::read_to_string("/tmp/octo.txt").unwrap().lines().map(|l| { let (k, b) = l.split_once('\t').unwrap();
        let mut e = all[0].clone(); for h in &mut e.headers { if h.0.eq_ignore_ascii_case("x-github-event") { h.1 = Bytes::from(k.to_owned()) } } e.body = Bytes::from(b.to_owned()); e })
        .filter(|e| { let a = native::Native.map(&call(e, 1)).answer; assert_eq!(a, plugin.map(&call(e, 1)).answer); matches!(a, Ok(Mapped::Mapping(_))) }).collect();
    println!("{} octokit events map", octo.len());
    if mode == "stages" { stages(&plugin, &skip[0]); return; }
    for (name, evs) in [("skip", &skip), ("small", &all), ("full", &full), ("octo", &octo)] {
        if mode == "skip" && name != "skip" || mode == "small" && name != "small" || mode == "full" && name != "full" || mode == "octo" && name != "octo" { continue }
        let bytes = evs.iter().map(|e| e.body.len()).sum::<usize>() / evs.len();
        if mode == "both" {
            let n = time(evs, &native::Native, secs);
            let f = time(evs, &plugin, secs);
            println!("{name:6} {bytes:6}B native p5 {:.1} p50 {:.1} p99 {:.1} | fresh p5 {:.1} p50 {:.1} p99 {:.1} | {:.2}x (+{:.1})", n.0, n.1, n.2, f.0, f.1, f.2, f.1 / n.1, f.1 - n.1);
        } else {
            let f = time(evs, &plugin, secs);
            println!("{name:6} {bytes:6}B fresh p5 {:.1} p50 {:.1} p99 {:.1}", f.0, f.1, f.2);
        }
    }
}
fn stages(plugin: &Plugin, e: &Event) {
    let only: Option<u32> = std::env::var("STAGE").ok().and_then(|s| s.parse().ok());
    for s in 0..3 { if only.is_some_and(|o| o != s) { continue }
        let n = if only.is_some() {2000000} else {50000};
        for _ in 0..1000 { plugin.stage(&call(e, 1), s); }
        let mut best = f64::MAX;
        for _ in 0..5 {
            let t = Instant::now();
            for _ in 0..n/5 { plugin.stage(&call(e, 1), s); }
            best = best.min(t.elapsed().as_nanos() as f64 / (n/5) as f64);
        }
        println!("stage {s}: {best:.0} ns");
    }
}
