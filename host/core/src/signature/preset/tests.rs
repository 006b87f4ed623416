//! What the built-in presets have to be.

use super::*;
use crate::event::BodyAuthenticated;

/// The reference table's partners that have a scheme, by the names of their presets.
const NAMES: &str = "acuity adyen adyen-platform airtable asana atlassian-connect aws-sns \
    bigcommerce bigcommerce-token bitbucket box braintree cal-com calendly chargebee cloudevents \
    coinbase-commerce contentful customer-io discord docusign dropbox easypost figma fourthwall \
    github gitlab gitlab-signed gocardless google-push heroku hubspot-v1 hubspot-v2 hubspot-v3 \
    hygraph intercom jira kick lemon-squeezy line linear livekit mailchannels mailgun \
    mailgun-form mandrill messagebird messenger meta microsoft-graph mux netlify notion okta \
    onfido onfleet paddle paypal pipedrive plaid razorpay rfc9421 sanity sendgrid shopify slack \
    square standard-webhooks standard-webhooks-v1a stripe svix taiga telnyx trello twilio \
    twilio-json twitch typeform vercel webflow woocommerce workos xero zendesk zoom";

#[test]
fn every_partner_of_the_table_has_one() {
    let names: Vec<_> = Preset::all().iter().map(Preset::name).collect();
    let expected: Vec<_> = NAMES.split_whitespace().collect();
    assert_eq!(names, expected);
}

#[test]
fn each_file_is_whole_and_can_be_checked() {
    for (name, text) in files::ALL {
        let document = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let preset = Preset::parse(name, &document).unwrap_or_else(|e| panic!("{name}: {e}"));
        preset
            .scheme()
            .check_supported()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_ne!(preset.title(), *name);
        for handshake in preset.handshakes() {
            let read = Handshake::parse(&handshake.to_json());
            assert_eq!(read.as_ref(), Ok(handshake), "{name}");
        }
    }
}

#[test]
fn each_file_of_the_folder_is_built_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut built_in: Vec<_> = files::ALL
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    built_in.sort();
    assert_eq!(found, built_in);
}

#[test]
fn they_are_found_by_name_and_alias() {
    let name = |asked| Preset::find(asked).map(Preset::name);
    assert_eq!(name("customerio"), Some("customer-io"));
    assert_eq!(name("Customer.io"), Some("customer-io"));
    assert_eq!(name("openai"), Some("standard-webhooks"));
    assert_eq!(name("nobody"), None);
    assert!(
        Preset::text_of("openai")
            .unwrap()
            .contains("webhook-signature")
    );
}

#[test]
fn no_name_means_two() {
    let mut names: Vec<_> = Preset::all()
        .iter()
        .flat_map(|preset| {
            preset
                .aliases()
                .iter()
                .map(String::as_str)
                .chain([preset.name()])
        })
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_bare_scheme_is_a_preset_without_more_to_say() {
    let scheme = Preset::find("github").unwrap().scheme().to_json();
    let preset = Preset::parse("mine", &scheme).unwrap();
    assert_eq!(preset.title(), "mine");
    assert_eq!(preset.scheme(), Preset::find("github").unwrap().scheme());
    let typo = serde_json::json!({"algorithm": "hmac-sha256", "handshake": []});
    let problems = Preset::parse("mine", &typo).unwrap_err().to_string();
    assert!(
        problems.contains("did you mean \"handshakes\"?"),
        "{problems}"
    );
}

#[test]
fn thin_pings_are_marked() {
    let thin: Vec<_> = Preset::all()
        .iter()
        .filter(|preset| preset.scheme().is_thin_ping())
        .map(Preset::name)
        .collect();
    assert_eq!(
        thin,
        ["airtable", "dropbox", "google-push", "microsoft-graph"]
    );
}

#[test]
fn what_the_proof_says_about_the_body_is_known() {
    let names = |body| -> Vec<_> {
        let of = |preset: &&Preset| preset.scheme().body_authenticated() == body;
        Preset::all().iter().filter(of).map(Preset::name).collect()
    };
    let fields = ["adyen", "aws-sns", "braintree", "mandrill", "twilio"];
    assert_eq!(names(BodyAuthenticated::Fields), fields);
    let none = [
        "atlassian-connect",
        "bigcommerce-token",
        "chargebee",
        "cloudevents",
        "figma",
        "gitlab",
        "google-push",
        "mailgun",
        "mailgun-form",
        "microsoft-graph",
        "okta",
        "paypal",
        "pipedrive",
    ];
    assert_eq!(names(BodyAuthenticated::None), none);
}
