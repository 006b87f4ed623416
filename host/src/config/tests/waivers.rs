//! `[[policy.waivers]]` and `store.secret_key`.

use super::*;

const CONNECTION: &str = "[connectors.erp]\nplugin = \"erp.wasm\"\n[connections.\"erp/acme\"]\n";

fn waiver(text: &str) -> String {
    format!("{CONNECTION}[[policy.waivers]]\n{text}\n")
}

const WHOLE: &str = "connection = \"erp/acme\"\nreason = \"they cannot sign\"\nuntil = 2027-01-31";

#[test]
fn a_waiver_counts_to_the_end_of_its_day() {
    let config = load(&waiver(WHOLE)).unwrap();
    let [only] = config.policy.waivers.as_slice() else {
        panic!("{:?}", config.policy.waivers)
    };
    assert_eq!(only.until.to_string(), "2027-02-01T00:00:00Z");
    assert_eq!(
        config.policy.waiver_of(&"erp/acme".parse().unwrap()),
        Some(only)
    );
    let keys = ["connectors.erp.plugin", "policy.waivers[0]"];
    check_warnings(&waiver(WHOLE), &keys);
    let with_secret =
        format!("{CONNECTION}secrets.webhook = \"env:A\"\n[[policy.waivers]]\n{WHOLE}");
    let warned = load(&with_secret).unwrap().warnings;
    assert!(
        warned
            .iter()
            .any(|warning| warning.text.contains("has no effect")),
        "{warned:?}"
    );
}

#[test]
fn what_is_wrong_with_a_waiver() {
    let check = |text: &str, place: &str, fragment: &str| {
        check_problem(&waiver(text), place, &[fragment]);
    };
    let but = |from: &str, to: &str| WHOLE.replace(from, to);
    check(&but("until = 2027-01-31", ""), "4:1", "lacks \"until\"");
    check(&but("2027-01-31", "\"soon\""), "7:1", "has to be a date");
    check(
        &but("they cannot sign", " "),
        "6:1",
        "says why nothing can be verified",
    );
    check(&but("erp/acme", "erp/beta"), "4:1", "is not configured");
    let twice = format!("{WHOLE}\n[[policy.waivers]]\n{WHOLE}");
    check(&twice, "8:1", "is the second waiver of erp/acme");
}

#[test]
fn the_stores_key_is_a_reference_to_32_bytes() {
    let check = |line: &str, fragment: &str| {
        check_problem(&format!("[store]\n{line}"), "2:1", &[fragment]);
    };
    check("secret_key = \"00ff\"", "is not a reference");
    check(
        "secret_key = \"env:A\"",
        "holds no key: it has to be 32 random bytes",
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{}\n", "0f".repeat(32))).unwrap();
    let read = |text: &str| read(text, &folder.path().join(FILE_NAME), &environment);
    let config = read("[store]\nsecret_key = \"file:key\"").unwrap();
    assert_eq!(config.store.secret_key.unwrap().expose(), &[0x0f; 32]);
}
