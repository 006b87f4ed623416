//! The built-in presets against the partners' own vectors.

use tidegate_core::signature::Preset;

use crate::vectors::{judge, load, text};

#[test]
fn each_preset_agrees_with_the_vectors_of_its_partner() {
    let vectors = load();
    let mut differing = Vec::new();
    let mut count = 0;
    for case in &vectors.cases {
        let partner = text(case, "partner");
        let preset = Preset::find(partner).unwrap_or_else(|| panic!("no preset of {partner}"));
        if text(case, "binding") != "must" {
            continue;
        }
        count += 1;
        if let Err(difference) = judge(preset.scheme(), case) {
            differing.push(format!("{}: {difference}", text(case, "name")));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(count, 589);
}
