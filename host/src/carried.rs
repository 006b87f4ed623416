//! Work that is carried through although nobody waits for it any more.
//!
//! A request's future is dropped when its caller hangs up. What must not be left half done
//! then runs as a task of its own. A panic in it is the caller's, as if it were awaited.

use std::panic::resume_unwind;

/// Begins it at once, and resolves when it has ended.
pub(crate) async fn carried_through<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and with it whoever asked.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn it_goes_on_after_whoever_asked_has_gone() {
        let (done, heard) = oneshot::channel();
        let work = carried_through(async move {
            sleep(Duration::from_millis(10)).await;
            let _ = done.send(7);
        });
        assert_eq!(work.now_or_never(), None);
        assert_eq!(heard.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_the_callers() {
        let asked = tokio::spawn(carried_through(async { panic!("as a test") }));
        assert!(asked.await.is_err_and(|error| error.is_panic()));
    }
}
