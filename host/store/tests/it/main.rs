//! One contract for every engine, and what the store does when things break.

/// Makes a test of each case for each engine.
macro_rules! for_every_engine {
    ($($case:ident),* $(,)?) => {
        mod memory { $(#[test] fn $case() { super::$case(&crate::bed::Bed::memory()); })* }
        mod fjall { $(#[test] fn $case() { super::$case(&crate::bed::Bed::fjall()); })* }
        #[cfg(feature = "sled")]
        mod sled { $(#[test] fn $case() { super::$case(&crate::bed::Bed::sled()); })* }
    };
}

// Marked, so that the lints know helpers of tests for what they are.
#[cfg(test)]
mod accept;
#[cfg(test)]
mod bed;
#[cfg(test)]
mod book;
#[cfg(test)]
mod complete;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod guarantees;
#[cfg(test)]
mod history;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod order;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod torn;
