use tidegate_core::change::Operation;
use tidegate_egress::EgressPolicy;
use tokio_postgres::{Client, NoTls};

use super::server::Server;
use super::*;
use crate::samples::{change, delete};

fn sink(url: &str) -> PostgresSink {
    PostgresSink {
        name: "app".parse().unwrap(),
        url: Secret::new(url.into()).unwrap(),
        schema: "public".into(),
        single_table: false,
        mark_deletes: false,
        timeout: Duration::from_secs(20),
        source: "s1".into(),
    }
}

fn outlet(sink: PostgresSink, allow: &[&str]) -> PostgresOutlet {
    let policy = EgressPolicy {
        allow: allow.iter().map(|entry| entry.parse().unwrap()).collect(),
        roots: None,
    };
    PostgresOutlet::new(sink, Arc::new(Egress::new(policy).unwrap())).unwrap()
}

async fn client(server: &Server) -> Client {
    let config: Config = server.socket_url().parse().unwrap();
    let Some(tokio_postgres::config::Host::Unix(folder)) = config.get_hosts().first() else {
        panic!("no socket")
    };
    let path = folder.join(format!(".s.PGSQL.{}", config.get_ports()[0]));
    let stream = tokio::net::UnixStream::connect(path).await.unwrap();
    let (client, connection) = config.connect_raw(stream, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What the query says, a row a line.
async fn query(server: &Server, text: &str) -> String {
    let rows = client(server).await.simple_query(text).await.unwrap();
    let rows = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            let fields: Vec<&str> = (0..row.len())
                .map(|at| row.get(at).unwrap_or("-"))
                .collect();
            Some(fields.join(" "))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join("; ")
}

async fn deliver(outlet: &PostgresOutlet, changes: &[Change]) {
    let results = outlet.deliver(changes).await;
    assert_eq!(results, vec![Ok(()); changes.len()]);
}

async fn cursor(outlet: &PostgresOutlet) -> Option<u64> {
    outlet.cursor().await.unwrap().map(ChangeSeq::get)
}

const ISSUES: &str = "SELECT id, data, seq FROM tidegate_github_issue ORDER BY id";

#[tokio::test]
async fn handing_over_again_late_or_out_of_order_changes_nothing() {
    let Some(server) = Server::start("handing_over_again_late_or_out_of_order") else {
        return;
    };
    let outlet = || outlet(sink(&server.socket_url()), &[]);
    let first = outlet();
    assert_eq!(cursor(&first).await, None);
    let batch = [
        change(1, "a", r#"{"n":1}"#),
        change(2, "b", r#"{"n":2}"#),
        change(3, "a", r#"{"n":3}"#),
    ];
    deliver(&first, &batch).await;
    assert_eq!(cursor(&first).await, Some(3));
    let expect = r#"a {"n": 3} 3; b {"n": 2} 2"#;
    assert_eq!(query(&server, ISSUES).await, expect);
    // The same again, from a host that was killed in between.
    let second = outlet();
    deliver(&second, &batch).await;
    deliver(&second, &batch[..1]).await;
    assert_eq!(query(&server, ISSUES).await, expect);
    assert_eq!(cursor(&second).await, Some(3));
    let types = "SELECT occurred_at = timestamptz '1970-01-01 00:00:01Z', version, revision, \
         connector, account FROM tidegate_github_issue WHERE id = 'b'";
    assert_eq!(query(&server, types).await, "t 2 r2 github acme");
}

#[tokio::test]
async fn a_removed_row_keeps_its_place() {
    let Some(server) = Server::start("a_removed_row_keeps_its_place") else {
        return;
    };
    let outlet = outlet(sink(&server.socket_url()), &[]);
    deliver(
        &outlet,
        &[change(1, "a", "{}"), delete(4, "a"), delete(9, "b")],
    )
    .await;
    assert_eq!(query(&server, ISSUES).await, "");
    // Older than their deletes: one was removed, one never was there.
    deliver(&outlet, &[change(2, "a", "{}"), change(8, "b", "{}")]).await;
    assert_eq!(query(&server, ISSUES).await, "");
    deliver(&outlet, &[change(5, "a", "{}"), change(10, "b", "{}")]).await;
    assert_eq!(query(&server, ISSUES).await, "a {} 5; b {} 10");
    // A delete that comes late.
    deliver(&outlet, &[delete(4, "a")]).await;
    assert_eq!(query(&server, ISSUES).await, "a {} 5; b {} 10");
}

#[tokio::test]
async fn a_marked_row_keeps_what_it_had() {
    let Some(server) = Server::start("a_marked_row_keeps_what_it_had") else {
        return;
    };
    let mut sink = sink(&server.socket_url());
    sink.mark_deletes = true;
    sink.single_table = true;
    sink.schema = "Odd \"schema".into();
    let outlet = outlet(sink, &[]);
    deliver(&outlet, &[change(1, "a", r#"{"n":1}"#)]).await;
    deliver(&outlet, &[delete(3, "a"), delete(4, "b")]).await;
    deliver(&outlet, &[change(2, "a", r#"{"n":2}"#)]).await;
    let rows = "SELECT id, data, seq, deleted_at IS NULL \
         FROM \"Odd \"\"schema\".tidegate_entities ORDER BY id";
    assert_eq!(query(&server, rows).await, r#"a {"n": 1} 3 f; b - 4 f"#);
    deliver(&outlet, &[change(5, "b", r#"{"n":5}"#)]).await;
    assert_eq!(
        query(&server, rows).await,
        r#"a {"n": 1} 3 f; b {"n": 5} 5 t"#
    );
}

#[tokio::test]
async fn what_the_database_refuses_fails_alone() {
    let Some(server) = Server::start("what_the_database_refuses_fails_alone") else {
        return;
    };
    let outlet = outlet(sink(&server.socket_url()), &[]);
    let alone = outlet.deliver(&[change(1, "nul\0", "{}")]).await;
    assert_eq!(
        alone[0].as_ref().unwrap_err().class,
        FailureClass::Permanent
    );
    // A cursor of nothing would make the flow begin with the whole log.
    assert_eq!(cursor(&outlet).await, None);
    let batch = [
        change(1, "a", "{}"),
        change(2, "b", r#"{"zero":"\u0000"}"#),
        change(3, "c", "{}"),
        // Behind the one that failed.
        change(4, "b", "{}"),
        change(5, "nul\0", "{}"),
    ];
    let results = outlet.deliver(&batch).await;
    let codes: Vec<&str> = results
        .iter()
        .map(|result| {
            result
                .as_ref()
                .map_or_else(|failure| failure.class.code(), |()| "ok")
        })
        .collect();
    assert_eq!(codes, ["ok", "permanent", "ok", "transient", "permanent"]);
    assert_eq!(query(&server, ISSUES).await, "a {} 1; c {} 3");
    // It does not pass what the store has not heard of.
    assert_eq!(cursor(&outlet).await, Some(1));
    deliver(&outlet, &[change(6, "d", "{}")]).await;
    assert_eq!(cursor(&outlet).await, Some(6));
}

#[tokio::test]
async fn another_store_begins_anew_and_versions_still_count() {
    let Some(server) = Server::start("another_store_begins_anew") else {
        return;
    };
    let first = outlet(sink(&server.socket_url()), &[]);
    deliver(&first, &[change(900, "a", "{}"), change(901, "b", "{}")]).await;
    let mut other = sink(&server.socket_url());
    other.source = "s2".into();
    let second = outlet(other, &[]);
    assert_eq!(cursor(&second).await, None);
    let mut newer = change(1, "a", r#"{"s":2}"#);
    newer.change.version = Some(1_000);
    // Its version 2 is older than the 901 that stands there.
    deliver(&second, &[newer, change(2, "b", r#"{"s":2}"#)]).await;
    assert_eq!(query(&server, ISSUES).await, r#"a {"s": 2} 1; b {} 901"#);
    assert_eq!(cursor(&second).await, Some(2));
}

#[tokio::test]
async fn a_broken_connection_is_made_anew_and_a_dropped_table_too() {
    let Some(server) = Server::start("a_broken_connection_is_made_anew") else {
        return;
    };
    let outlet = outlet(sink(&server.tcp_url()), &["127.0.0.1"]);
    deliver(&outlet, &[change(1, "a", "{}")]).await;
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND usename = 'tidegate' \
         AND backend_type = 'client backend'";
    query(&server, others).await;
    query(&server, "DROP TABLE tidegate_github_issue").await;
    // At most one hand-over finds out, and says that it may work later.
    let found_out = outlet.deliver(&[change(2, "a", "{}")]).await;
    if let Err(failure) = &found_out[0] {
        assert_eq!(failure.class, FailureClass::TRANSIENT);
        deliver(&outlet, &[change(2, "a", "{}")]).await;
    }
    assert_eq!(query(&server, ISSUES).await, "a {} 2");
}

#[tokio::test]
async fn addresses_are_checked_and_elsewhere_tls_is_a_must() {
    let Some(server) = Server::start("addresses_are_checked") else {
        return;
    };
    let refused = outlet(sink(&server.tcp_url()), &[])
        .cursor()
        .await
        .unwrap_err();
    assert_eq!(refused.class, FailureClass::Refused);
    let url = format!("{}?sslmode=verify-full", server.tcp_url());
    let plain = outlet(sink(&url), &["127.0.0.1"])
        .cursor()
        .await
        .unwrap_err();
    assert!(plain.message.contains("does not support TLS"), "{plain}");
}

#[tokio::test]
async fn many_changes_at_once_leave_the_newest_of_each() {
    let Some(server) = Server::start("many_changes_at_once") else {
        return;
    };
    let outlet = outlet(sink(&server.socket_url()), &[]);
    let mut changes: Vec<Change> = (1..=500)
        .map(|seq| change(seq, &(seq % 37).to_string(), "{}"))
        .collect();
    for one in changes.iter_mut().filter(|one| one.seq.get() % 5 == 0) {
        one.change.operation = Operation::Delete;
        one.change.data = None;
    }
    // In two halves, the later one first.
    deliver(&outlet, &changes[250..]).await;
    deliver(&outlet, &changes[..250]).await;
    let newest = (464..=500).filter(|seq| seq % 5 != 0);
    let rows = query(
        &server,
        "SELECT seq FROM tidegate_github_issue ORDER BY seq",
    )
    .await;
    let expect: Vec<String> = newest.map(|seq| seq.to_string()).collect();
    assert_eq!(rows, expect.join("; "));
}

#[track_caller]
fn check_url(url: &str, expect: Option<InvalidPostgresUrl>) {
    let url = Secret::new(url.into()).unwrap();
    assert_eq!(parse(&url).err(), expect);
}

#[test]
fn urls_that_no_connection_can_be_made_with() {
    check_url("postgres://u:p@db.example/app?sslmode=verify-full", None);
    check_url("host=/run/postgresql dbname=app", None);
    check_url("postgres://", Some(InvalidPostgresUrl::NoHost));
    check_url("nonsense", Some(InvalidPostgresUrl::Form));
    let with_address = "host=a hostaddr=10.0.0.1 dbname=app";
    check_url(with_address, Some(InvalidPostgresUrl::HostAddr));
}
