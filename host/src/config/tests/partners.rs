//! Connectors and connections: their schemes, secrets and settings.

use super::*;

const CONNECTOR: &str = "[connectors.acme]\nplugin = \"acme.wasm\"\n[connections.\"acme/one\"]\n";

#[test]
fn secrets_are_references_with_a_value() {
    let check = |line: &str, place: &str, fragments: &[&str]| {
        check_problem(&format!("{CONNECTOR}{line}"), place, fragments);
    };
    check(
        "secrets.webhook = \"env:MISSING\"",
        "4:9",
        &["environment variable MISSING is not set"],
    );
    check(
        "secrets.webhook = [\"env:A\", \"env:EMPTY\"]",
        "4:29",
        &["webhook[1]", "env:EMPTY", "is empty"],
    );
    check(
        "secrets.webhook = \"file:nowhere\"",
        "4:9",
        &["cannot read nowhere"],
    );
    check("secrets.webhook = []", "4:9", &["takes 1 to"]);
    check(
        "secrets.webhook = 7",
        "4:9",
        &["a reference like \"env:NAME\""],
    );
    check(
        "secrets.webhook = { not_after = 2027-01-01T00:00:00Z }",
        "4:9",
        &["lacks \"ref\""],
    );
    check(
        "secrets.webhook = { ref = \"env:A\", not_after = 2027-01-01 }",
        "4:36",
        &["an instant with its offset"],
    );
    check(
        "secrets.webhook = { reff = \"env:A\", ref = \"env:A\" }",
        "4:21",
        &["did you mean", "webhook.ref"],
    );
    let text =
        "secrets.webhook = [{ ref = \"env:A\", not_after = 2027-01-01T00:00:00Z }, \"env:B\"]";
    let config = load(&format!("{CONNECTOR}{text}")).unwrap();
    let connection = config.connections.values().next().unwrap();
    assert_eq!(connection.secrets.webhook.len(), 2);
}

#[test]
fn a_secret_file_lies_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "k\n").unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(
        &path,
        format!("{CONNECTOR}secrets.webhook = \"file:key\"\n"),
    )
    .unwrap();
    let config = ConfigSource::new(Some(path))
        .accept_only(true)
        .load()
        .unwrap();
    assert_eq!(config.workers.map_threads, 0);
    assert_eq!(
        config.store.dir.as_deref(),
        Some(folder.path().join("./tidegate-data").as_path())
    );
}

#[test]
fn connectors_need_a_source_of_their_scheme() {
    check_problem(
        "[connectors.acme]\n",
        "1:13",
        &["neither a plugin nor a scheme"],
    );
    check_problem(
        "[connectors.acme]\npreset = \"strip\"",
        "2:1",
        &["no preset \"strip\"", "did you mean \"stripe\"?"],
    );
    check_problem(
        "[connectors.Acme]\nplugin = \"x\"",
        "1:13",
        &["lower-case letters"],
    );
    check_problem("[connections.acme]\n", "1:14", &["connector/account"]);
    let near = "[connectors.github]\nplugin = \"x\"\n[connections.\"githb/acme\"]\nsecrets.webhook = \"env:A\"";
    check_problem(near, "3:14", &["did you mean \"github/acme\"?"]);
}

#[test]
fn schemes_are_checked_where_they_stand() {
    let scheme = |signature: &str| {
        format!(
            "[connectors.acme.scheme]\nalgorithm = \"hmac-sha256\"\nkey = \"utf8\"\ncontent = \"{{body}}\"\n\
             [connectors.acme.scheme.signature]\nin = \"header\"\n{signature}\n"
        )
    };
    let good = scheme("name = \"X-Signature\"\nencoding = \"hex\"");
    let config = load(&good).unwrap();
    let connector = config.connectors.values().next().unwrap();
    assert!(connector.signing.preset.is_some());
    assert!(
        connector.signing.event_id.is_none(),
        "a rule that the document does not have"
    );
    check_problem(
        &scheme("name = \"X-Signature\"\nencoding = \"hex\"\nprefx = \"v1=\""),
        "9:1",
        &[
            "connectors.acme.scheme.signature.prefx",
            "did you mean \"prefix\"?",
        ],
    );
    check_problem(
        "[connectors.acme]\nscheme = \"nowhere.json\"",
        "2:1",
        &["connectors.acme.scheme: cannot read nowhere.json"],
    );
    check_problem(
        &format!("{good}\n[connectors.acme.event_id]\nin = \"hedder\""),
        "11:1",
        &["header"],
    );
}

#[test]
fn an_event_id_is_no_credential() {
    let text = "[connectors.acme]\nscheme = { algorithm = \"shared-token\", key = \"utf8\", \
                signature = { in = \"header\", name = \"X-Token\" } }\n\
                event_id = { in = \"header\", name = \"X-Token\" }";
    check_problem(text, "1:13", &["acme.event_id", "carries a credential"]);
    let (scheme, _) = text.rsplit_once("event_id").unwrap();
    let config = load(&format!("{scheme}event_id = \"none\"")).unwrap();
    let connector = config.connectors.values().next().unwrap();
    assert_eq!(
        connector.signing.event_id,
        Some(tidegate_core::signature::EventIdRule::BodyHash)
    );
}

#[test]
fn settings_become_json() {
    let text = format!(
        "{CONNECTOR}secrets.webhook = \"env:A\"\nsettings = {{ since = 2026-01-01, deep = {{ n = [1, 2.5] }} }}"
    );
    let config = load(&text).unwrap();
    let settings = &config.connections.values().next().unwrap().rules.settings;
    let settings: serde_json::Value = serde_json::from_slice(settings).unwrap();
    assert_eq!(
        settings,
        serde_json::json!({"since": "2026-01-01", "deep": {"n": [1, 2.5]}})
    );
    let text = format!("{CONNECTOR}secrets.webhook = \"env:A\"\nsettings = {{ x = nan }}");
    check_problem(&text, "5:1", &["settings: holds inf or nan"]);
}

#[test]
fn a_preset_alone_is_enough_and_its_scheme_may_be_overridden() {
    let text = "[connectors.stripe]\npreset = \"stripe\"\n[connections.\"stripe/acme\"]\nsecrets.webhook = \"env:A\"";
    check_warnings(text, &[]);
    let config = load(text).unwrap();
    let id = "stripe/acme".parse().unwrap();
    let whose = Whose::Connection(&id);
    let scheme = config.scheme_of(whose, None).unwrap().unwrap();
    assert!(
        scheme.event_id().to_string().contains("/id"),
        "{}",
        scheme.event_id()
    );
    let own = format!("{text}\nevent_id = \"none\"");
    let scheme = load(&own).unwrap().scheme_of(whose, None).unwrap().unwrap();
    assert_eq!(
        *scheme.event_id(),
        tidegate_core::signature::EventIdRule::BodyHash
    );
    let both = text.replace("preset", "scheme = { algorithm = \"shared-token\", key = \"utf8\", signature = { in = \"header\", name = \"X-T\" } }\npreset");
    check_problem(&both, "3:1", &["stands beside scheme"]);
}

#[test]
fn what_a_preset_asks_for_is_named() {
    let text = "[connectors.paypal]\npreset = \"paypal\"\n[connections.\"paypal/acme\"]\n";
    check_problem(text, "3:14", &["lacks \"webhook_id\""]);
    check_warnings(&format!("{text}config = {{ webhook_id = \"8\" }}"), &[]);
    let twice = format!("{text}config = {{ webhook_id = \"8\", extra = 8 }}");
    check_problem(&twice, "4:30", &["a text"]);
    let meta = "[connectors.meta]\npreset = \"meta\"\n[connections.\"meta/acme\"]\nsecrets.webhook = \"env:A\"";
    let warned = load(meta).unwrap().warnings;
    assert!(
        warned[0].text.contains("lacks \"verify_token\""),
        "{warned:?}"
    );
    check_warnings(&format!("{meta}\nsecrets.verify_token = \"env:A\""), &[]);
}

#[test]
fn the_dedupe_window_outlives_the_partners_retries() {
    let text = "[connectors.adyen]\npreset = \"adyen\"\n";
    let short = format!("[policy.dedupe]\nwindow = \"5d\"\n{text}");
    check_problem(
        &short,
        "2:1",
        &["policy.dedupe.window", "is 5d, and Adyen", "for 30d"],
    );
    assert!(load(text).is_ok());
}
