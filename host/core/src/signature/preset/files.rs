//! The built-in data files, in the order of their names.

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../presets/", $name, ".json"))),)*]
    };
}

/// Names and texts.
pub(super) const ALL: &[(&str, &str)] = files![];
