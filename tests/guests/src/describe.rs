//! What the plugin says of itself; the tests choose by writing into the built file.

use crate::Misbehave;
use crate::bindings::exports::tidegate::connector::describer::Guest;

/// Overwritten in the file: `tidegate-describe:` and a word, filled up with spaces.
static CHOICE: [u8; 32] = *b"tidegate-describe:object        ";

impl Guest for Misbehave {
    fn describe() -> Vec<u8> {
        // Opaque to the optimiser, which would bake the answer in.
        let choice = std::hint::black_box(&CHOICE);
        match choice.get(18..).unwrap_or_default().trim_ascii() {
            b"object" => br#"{"name":"misbehave"}"#.to_vec(),
            b"garbage" => vec![0xff, 0, b'{'],
            b"large" => vec![b' '; 256 * 1024 + 1],
            b"panic" => panic!("cannot say"),
            b"spin" => loop {
                std::hint::black_box(());
            },
            other => panic!("no description {other:?}"),
        }
    }
}
