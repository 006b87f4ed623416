//! Event keys seen lately, so that a partner's quick second try costs no look-up.
//!
//! Only what is durable may stand here. Two generations bound it: when the younger is
//! full, the older is forgotten.

use crate::codec::KeyHolder;
use crate::keys::{EventKey, EventKeyMap};

/// Keys per generation: some seconds of a busy host, at 64 bytes each 4 MiB for both.
const GENERATION_KEYS: usize = 32_768;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    young: EventKeyMap<KeyHolder>,
    old: EventKeyMap<KeyHolder>,
}

impl Recent {
    pub(crate) fn find(&self, key: EventKey) -> Option<KeyHolder> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    pub(crate) fn add(&mut self, keys: impl IntoIterator<Item = (EventKey, KeyHolder)>) {
        for (key, holder) in keys {
            if self.young.len() >= GENERATION_KEYS {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::ids::EventId;

    use super::*;

    #[test]
    fn it_remembers_a_generation_and_forgets_the_one_before_the_last() {
        let mut recent = Recent::default();
        let keys = 3 * GENERATION_KEYS as u64;
        recent.add((0..keys).map(|number| {
            let holder = KeyHolder {
                event: EventId::new(number),
                body: None,
            };
            (EventKey(number.into()), holder)
        }));
        assert_eq!(recent.find(EventKey(0)), None);
        let last = recent.find(EventKey(u128::from(keys - 1))).unwrap();
        assert_eq!(last.event, EventId::new(keys - 1));
        assert!(recent.young.len() + recent.old.len() <= 2 * GENERATION_KEYS);
    }
}
