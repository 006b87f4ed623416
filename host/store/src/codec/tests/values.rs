//! Any value of each kind of record.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate_core::alert::{AlertKey, AlertRule, Notice, NoticeKind};
use tidegate_core::change::{
    Change, ChangeResult, EntityRef, Fate, Operation, Origin, ProposedChange,
};
use tidegate_core::event::{BodyAuthenticated, Event, EventProgress, EventState};
use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, PluginDigest, ReplayId, TaskId};
use tidegate_core::replay::{ReplayFilter, ReplayMode, ReplayRun};
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkState};
use tidegate_core::task::{Attempt, DeadCause, Delivery, Task, TaskKind, TaskState, WaitReason};
use tidegate_core::time::Timestamp;
use tidegate_core::version::{Content, Standing};

use crate::dead::{DeadLetter, Subject};

pub(super) fn instant() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

pub(super) fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

pub(super) fn connection() -> impl Strategy<Value = ConnectionId> {
    ("[a-z][a-z0-9-]{0,10}", "[^/\\p{Cc}]{1,12}")
        .prop_map(|(connector, account)| format!("{connector}/{account}").parse().unwrap())
}

pub(super) fn entity() -> impl Strategy<Value = EntityRef> {
    ("[a-z_]{1,12}", ".{1,20}").prop_map(|(kind, id)| EntityRef { kind, id })
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![Just(Operation::Upsert), Just(Operation::Delete)]
}

pub(super) fn proposed() -> impl Strategy<Value = ProposedChange> {
    let occurred = option::of(instant());
    (
        entity(),
        operation(),
        option::of(any::<i64>()),
        ".{0,20}",
        occurred,
        option::of(data()),
    )
        .prop_map(
            |(entity, operation, version, revision, occurred, data)| ProposedChange {
                entity,
                operation,
                version,
                revision,
                occurred,
                data,
            },
        )
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let origin = prop_oneof![
        Just(Origin::Webhook),
        Just(Origin::Poll),
        Just(Origin::Fetch),
        Just(Origin::Reconcile)
    ];
    (
        any::<u64>(),
        connection(),
        proposed(),
        origin,
        option::of(any::<u64>()),
        instant(),
    )
        .prop_map(
            |(seq, connection, change, origin, event, committed)| Change {
                seq: ChangeSeq::new(seq),
                connection,
                change,
                origin,
                event: event.map(EventId::new),
                committed,
            },
        )
}

pub(super) fn standing() -> impl Strategy<Value = Standing> {
    let content = (operation(), option::of(any::<i64>()), ".{0,20}").prop_map(
        |(operation, version, revision)| Content {
            operation,
            version,
            revision,
        },
    );
    (content, any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(content, receipt, change, tied)| Standing {
            content,
            receipt: EventId::new(receipt),
            change: ChangeSeq::new(change),
            tied,
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let text = ".{0,12}";
    let body_authenticated = prop_oneof![
        Just(BodyAuthenticated::Full),
        Just(BodyAuthenticated::Fields),
        Just(BodyAuthenticated::None)
    ];
    let request = (
        text,
        vec(text, 0..3),
        text,
        vec((text, data()), 0..4),
        data(),
    );
    (connection(), text, instant(), request, body_authenticated).prop_map(
        |(connection, partner_id, received, request, body_authenticated)| {
            let (method, path, query, headers, body) = request;
            Event {
                connection,
                partner_id,
                received,
                method,
                path,
                query,
                headers,
                body,
                body_authenticated,
            }
        },
    )
}

pub(super) fn cause() -> impl Strategy<Value = DeadCause> {
    prop::sample::select(DeadCause::ALL.to_vec())
}

pub(super) fn class() -> impl Strategy<Value = FailureClass> {
    let delay = option::of((0u64..1 << 50).prop_map(Duration::from_micros));
    prop_oneof![
        delay
            .clone()
            .prop_map(|delay| FailureClass::Transient { delay }),
        delay.prop_map(|delay| FailureClass::RateLimited { delay }),
        Just(FailureClass::Unauthorized),
        Just(FailureClass::Permanent),
        Just(FailureClass::NotFound),
        Just(FailureClass::CheckpointExpired),
        Just(FailureClass::Refused),
        prop::sample::select(PluginFault::ALL.to_vec()).prop_map(FailureClass::PluginFault),
    ]
}

pub(super) fn attempt() -> impl Strategy<Value = Attempt> {
    let failure = (class(), ".{0,20}").prop_map(|(class, message)| Failure { class, message });
    let digest = || option::of(any::<[u8; 32]>());
    let took = (0u64..1 << 50).prop_map(Duration::from_micros);
    (
        any::<u32>(),
        instant(),
        took,
        digest(),
        digest(),
        option::of(failure),
        ".{0,20}",
    )
        .prop_map(
            |(number, started, took, plugin, settings, failure, stderr)| Attempt {
                number,
                started,
                took,
                plugin: plugin.map(PluginDigest::new),
                settings,
                failure,
                stderr,
            },
        )
}

pub(super) fn plugin() -> impl Strategy<Value = PluginDigest> {
    any::<[u8; 32]>().prop_map(PluginDigest::new)
}

pub(super) fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,10}"
}

pub(super) fn delivery() -> impl Strategy<Value = Delivery> {
    (name(), any::<u64>(), connection(), entity(), any::<bool>()).prop_map(
        |(sink, seq, connection, entity, forced)| Delivery {
            sink: sink.parse().unwrap(),
            seq: ChangeSeq::new(seq),
            connection,
            entity,
            forced,
        },
    )
}

pub(super) fn alert_key() -> impl Strategy<Value = AlertKey> {
    (prop::sample::select(AlertRule::ALL.to_vec()), ".{0,20}")
        .prop_map(|(rule, subject)| AlertKey { rule, subject })
}

pub(super) fn notice() -> impl Strategy<Value = Notice> {
    let kind = prop::sample::select(NoticeKind::ALL.to_vec());
    let texts = (".{0,20}", ".{0,20}", ".{0,20}");
    let oldest = option::of(instant());
    (alert_key(), kind, texts, any::<u64>(), oldest, instant()).prop_map(
        |(key, kind, (summary, excerpt, link), count, oldest, since)| Notice {
            key,
            kind,
            summary,
            count,
            oldest,
            excerpt,
            link,
            since,
        },
    )
}

pub(super) fn task() -> impl Strategy<Value = Task> {
    let event = || any::<u64>().prop_map(EventId::new);
    let kind = prop_oneof![
        (event(), connection(), option::of(plugin())).prop_map(|(event, connection, with)| {
            TaskKind::Map {
                event,
                connection,
                with,
            }
        }),
        (event(), connection(), entity()).prop_map(|(event, connection, entity)| {
            TaskKind::Fetch {
                event,
                connection,
                entity,
            }
        }),
        connection().prop_map(|connection| TaskKind::Poll { connection }),
        delivery().prop_map(TaskKind::Deliver),
        (name(), notice()).prop_map(|(channel, notice)| TaskKind::Alert {
            channel: channel.parse().unwrap(),
            notice: Box::new(notice),
        }),
    ];
    let state = prop_oneof![
        (any::<u32>(), instant(), instant(), option::of(instant())).prop_map(
            |(attempt, due, since, limited_since)| TaskState::Scheduled {
                attempt,
                due,
                since,
                limited_since
            }
        ),
        prop::sample::select(vec![
            WaitReason::CapabilityNotBuilt,
            WaitReason::ConnectionPaused,
            WaitReason::EarlierDelivery,
        ])
        .prop_map(|reason| TaskState::Waiting { reason }),
        (cause(), ".{0,20}", instant()).prop_map(|(cause, reason, at)| TaskState::Dead {
            cause,
            reason,
            at
        }),
    ];
    (any::<u64>(), kind, state).prop_map(|(id, kind, state)| Task {
        id: TaskId::new(id),
        kind,
        state,
    })
}

pub(super) fn progress() -> impl Strategy<Value = EventProgress> {
    let state = prop_oneof![
        (any::<u32>(), instant()).prop_map(|(attempt, due)| EventState::Pending { attempt, due }),
        any::<u32>().prop_map(|open| EventState::Fetching { open }),
        Just(EventState::Mapped),
        ".{0,20}".prop_map(|reason| EventState::Skipped { reason }),
        (cause(), ".{0,20}").prop_map(|(cause, reason)| EventState::Dead { cause, reason }),
    ];
    let fate = prop_oneof![
        any::<u64>().prop_map(|seq| Fate::Applied(ChangeSeq::new(seq))),
        Just(Fate::Superseded),
        Just(Fate::Unchanged),
    ];
    let result = (entity(), operation(), fate).prop_map(|(entity, operation, fate)| ChangeResult {
        entity,
        operation,
        fate,
    });
    let fetch = (any::<u64>().prop_map(TaskId::new), entity());
    let plugin = option::of(any::<[u8; 32]>().prop_map(PluginDigest::new));
    (
        state,
        vec(attempt(), 0..3),
        vec(result, 0..3),
        vec(fetch, 0..3),
        plugin,
    )
        .prop_map(
            |(state, attempts, changes, fetches, plugin)| EventProgress {
                state,
                attempts,
                changes,
                fetches,
                plugin,
            },
        )
}

pub(super) fn letter() -> impl Strategy<Value = DeadLetter> {
    let subject = prop_oneof![
        (option::of(event()), progress())
            .prop_map(|(event, progress)| Subject::Event { event, progress }),
        option::of(change()).prop_map(Subject::Change),
        Just(Subject::Notice),
    ];
    (task(), subject, vec(attempt(), 0..3)).prop_map(|(task, mut subject, attempts)| {
        if let Subject::Event { progress, .. } = &mut subject {
            progress.attempts.clone_from(&attempts);
        }
        DeadLetter {
            task,
            subject,
            attempts,
        }
    })
}

pub(super) fn sink_standing() -> impl Strategy<Value = SinkStanding> {
    let why = prop::sample::select(PauseCause::ALL.to_vec());
    let state = prop_oneof![
        Just(SinkState::Running),
        (".{0,20}", instant(), any::<u32>(), instant()).prop_map(
            |(reason, since, probes, next)| SinkState::Failing {
                reason,
                since,
                probes,
                next,
            }
        ),
        (why, ".{0,20}", instant()).prop_map(|(why, reason, since)| SinkState::Paused {
            why,
            reason,
            since
        }),
    ];
    let after = option::of((connection(), entity()));
    let mirror = option::of((after, any::<u64>()).prop_map(|(after, then)| MirrorWalk {
        after,
        then: ChangeSeq::new(then),
    }));
    (name(), any::<u64>(), mirror, state).prop_map(|(sink, cursor, mirror, state)| SinkStanding {
        sink: sink.parse().unwrap(),
        cursor: ChangeSeq::new(cursor),
        mirror,
        state,
    })
}

pub(super) fn replay_run() -> impl Strategy<Value = ReplayRun> {
    let times = (
        option::of(instant()),
        option::of(instant()),
        instant(),
        option::of(instant()),
    );
    let filter = (
        option::of(connection()),
        option::of(".{0,10}"),
        option::of(cause()),
        option::of(plugin()),
    );
    let numbers = any::<[u64; 6]>();
    let texts = (".{0,20}", option::of(".{0,20}"));
    (times, filter, numbers, any::<bool>(), texts).prop_map(
        |((from, until, began, ended), filter, numbers, forced, (who, reason))| {
            let (connection, state, cause, plugin) = filter;
            let [id, newest, before, total, queued, passed] = numbers;
            let connector = connection.as_ref().map(|one| one.connector.clone());
            ReplayRun {
                id: ReplayId::new(id),
                filter: ReplayFilter {
                    connector,
                    connection,
                    state,
                    cause,
                    from,
                    until,
                    plugin,
                },
                mode: ReplayMode {
                    with: plugin,
                    forced,
                },
                who,
                reason,
                began,
                newest,
                before,
                total,
                queued,
                passed,
                ended,
            }
        },
    )
}
