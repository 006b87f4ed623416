//! Partners: they sign webhooks and send each until it is acknowledged.
//!
//! They also send what they should not: duplicates at once and later, another body under
//! the same id, and, in their name, requests that they never signed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tidegate_core::event::Accepted;
use tidegate_core::ids::ConnectionId;
use tidegate_core::ports::Clock as _;
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret};
use tidegate_flow::ingest::{Address, Door, IngestError, Ingested, Was, ingest};

use crate::exec::{Life, reply};
use crate::faults::Fault;
use crate::rng::Rng;
use crate::webhook::{Webhook, history};
use crate::world::World;

const SECRET: &[u8] = b"a secret of this world";

/// What the host answered.
enum Answer {
    Acknowledged(Vec<Accepted>),
    Refused,
    /// 503, or no answer at all.
    Later(String),
}

/// The connections of a world.
pub fn connections(count: usize) -> Vec<ConnectionId> {
    (0..count)
        .filter_map(|number| format!("tide/acme-{number}").parse().ok())
        .collect()
}

/// Begins everything that partners do.
pub fn begin(world: &Arc<World>) {
    let connections = connections(world.plan.connections);
    let each = world.plan.events.div_ceil(connections.len().max(1));
    let mut rng = Rng::new(world.plan.seed).fork(5);
    // Where there are few, more of what happens to one meets.
    let entities = rng.pick(&[1, 2, 5, 5]).copied().unwrap_or(5);
    let pace = rng.pick(&[2_500, 2_500, 80]).copied().unwrap_or(2_500);
    for (number, connection) in connections.into_iter().enumerate() {
        let mut rng = Rng::new(world.plan.seed).fork(100 + number as u64);
        let webhooks = history(&connection, (each, entities), world.plan.faults, &mut rng);
        for sending in sendings(world, webhooks, pace, &mut rng) {
            let world = world.clone();
            world.busy(true);
            world
                .clone()
                .spawner
                .spawn(Life::World, send(world, sending));
        }
    }
}

/// One request that is sent until it has its answer.
struct Sending {
    after: Duration,
    webhook: Arc<Webhook>,
    forged: bool,
}

/// What is sent, with pauses of up to `pace` milliseconds between.
fn sendings(world: &World, webhooks: Vec<Webhook>, pace: u64, rng: &mut Rng) -> Vec<Sending> {
    let has = |fault| world.plan.faults.has(fault);
    let mut order: Vec<Arc<Webhook>> = webhooks.into_iter().map(Arc::new).collect();
    rng.shuffle(&mut order, if has(Fault::Reordered) { 12 } else { 1 });
    let mut at = Duration::ZERO;
    let mut sendings = Vec::new();
    for webhook in order {
        at += Duration::from_millis(rng.between(0, pace));
        let mut add = |after: Duration, webhook: Arc<Webhook>, forged| {
            sendings.push(Sending {
                after,
                webhook,
                forged,
            });
        };
        let (twice, later, altered, forged) = (
            rng.per_mille(350),
            rng.per_mille(250),
            rng.per_mille(250),
            rng.per_mille(250),
        );
        if forged && has(Fault::BadSignature) {
            add(at, webhook.clone(), true);
        }
        add(at, webhook.clone(), false);
        if twice && has(Fault::Duplicates) {
            add(at, webhook.clone(), false);
        }
        if later && has(Fault::Duplicates) {
            let after = Duration::from_secs(rng.between(1, 4_000));
            add(at + after, webhook.clone(), false);
        }
        if altered && has(Fault::Altered) {
            let after = Duration::from_millis(rng.between(0, 3_000));
            add(at + after, Arc::new(webhook.altered()), false);
        }
    }
    sendings
}

async fn send(world: Arc<World>, sending: Sending) {
    world.sleep(sending.after).await;
    let request = if sending.forged {
        forge(&world, &sending.webhook)
    } else {
        let webhook = &sending.webhook;
        world
            .register()
            .insert(webhook.body.clone(), webhook.clone());
        request(&webhook.key, &webhook.body, &sign(&webhook.body))
    };
    let webhook = &sending.webhook;
    let mut wait = Duration::from_millis(500);
    loop {
        let answer = post(&world, request.clone(), &webhook.connection).await;
        match answer {
            Answer::Acknowledged(accepted) => {
                let ids: Vec<String> = accepted
                    .iter()
                    .map(|one| {
                        let again = if one.duplicate { " again" } else { "" };
                        format!("{}{again}", one.id)
                    })
                    .collect();
                world.tell(format!(
                    "{} {} is acknowledged as {}",
                    webhook.connection,
                    webhook.key,
                    ids.join(", ")
                ));
                world
                    .checks()
                    .acknowledged(webhook, &accepted, sending.forged);
                break;
            }
            Answer::Refused => {
                world.tell(format!("{} {} is refused", webhook.connection, webhook.key));
                world.checks().refused(webhook, sending.forged);
                break;
            }
            Answer::Later(why) => {
                world.tell(format!(
                    "{} {} is to come later: {why}",
                    webhook.connection, webhook.key
                ));
            }
        }
        world.sleep(wait).await;
        wait = (wait * 2).min(Duration::from_mins(2));
    }
    world.busy(false);
}

/// Hands a request to the host, where it runs, and waits for what it says.
async fn post(world: &Arc<World>, raw: RawRequest, connection: &ConnectionId) -> Answer {
    let Some(host) = world.host() else {
        return Answer::Later("nobody listens".into());
    };
    let (answer, answered) = reply();
    let (inside, address) = (world.clone(), Address::Connection(connection.clone()));
    let handler = async move {
        inside.breathe().await;
        let now = inside.now();
        let taken = ingest(raw, &host.door, None, &address, &*host.journal, now).await;
        answer.send(match taken {
            Ok(Ingested {
                was: Was::Events(accepted),
                ..
            }) => Answer::Acknowledged(accepted),
            Ok(_) => Answer::Later("it was no event".into()),
            Err(IngestError::Refused(refusal)) => {
                host.refused(&address);
                inside.tell(format!("a signature does not verify: {}", refusal.code()));
                Answer::Refused
            }
            Err(IngestError::NotStored(why)) => Answer::Later(why.to_string()),
            Err(IngestError::NotSplit(why)) => Answer::Later(why.to_string()),
        });
    };
    world.spawner.spawn(Life::Host, handler);
    let answer = answered.answer().await;
    answer.unwrap_or_else(|| Answer::Later("the connection broke".into()))
}

/// The door through which every request comes.
pub fn door() -> Option<Door> {
    let scheme = Scheme::parse(&json!({
        "algorithm": "hmac-sha256",
        "key": "utf8",
        "signature": {
            "in": "header", "name": "X-Signature", "encoding": "hex", "prefix": "sha256=",
        },
        "content": "{body}",
        "event_id": {"in": "header", "name": "X-Delivery"},
    }))
    .ok()?;
    let secret = Secret::new(SECRET.to_vec()).ok()?;
    let keys = KeySet::prepare(&scheme, [secret]).ok()?;
    Some(Door::Signed {
        scheme,
        keys,
        handshakes: Vec::new(),
    })
}

fn sign(body: &[u8]) -> String {
    // A key of any length is one for HMAC.
    Hmac::<Sha256>::new_from_slice(SECRET).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(body);
            format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
        },
    )
}

/// What somebody sends who does not have the secret: another body under a true signature,
/// or a signature that is guessed or missing.
fn forge(world: &World, webhook: &Webhook) -> RawRequest {
    let draw = world.rng().below(3);
    let signature = match draw {
        0 => sign(&webhook.body),
        1 => format!("sha256={}", "5a".repeat(32)),
        _ => String::new(),
    };
    let mut body = webhook.body.to_vec();
    body.extend_from_slice(b" forged");
    request(&webhook.key, &Bytes::from(body), &signature)
}

fn request(key: &str, body: &Bytes, signature: &str) -> RawRequest {
    RawRequest {
        method: "POST".into(),
        url: None,
        path: Vec::new(),
        query: String::new(),
        headers: vec![
            ("x-signature".into(), Bytes::from(signature.to_owned())),
            ("x-delivery".into(), Bytes::from(key.to_owned())),
        ],
        body: body.clone(),
    }
}
