//! Signals that this process listens for. The only file that installs handlers.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// One kind of signal; never heard where the system gives no handler for it.
#[derive(Debug)]
pub(crate) struct Listener {
    kind: SignalKind,
    signal: Option<Signal>,
}

impl Listener {
    /// Listens from now on.
    pub(crate) fn new(kind: SignalKind) -> Self {
        let signal = signal(kind)
            .inspect_err(|error| tracing::warn!(?kind, %error, "this signal will not be heard"))
            .ok();
        Self { kind, signal }
    }

    /// The next one, by its number.
    pub(crate) async fn next(&mut self) -> i32 {
        match &mut self.signal {
            Some(signal) => {
                signal.recv().await;
                self.kind.as_raw_value()
            }
            None => std::future::pending().await,
        }
    }
}

/// The signals that ask the host to end. Each is heard, the second one too.
#[derive(Debug)]
pub(crate) struct EndSignals {
    interrupt: Listener,
    terminate: Listener,
}

impl EndSignals {
    /// Listens from now on; until then each ends the process by itself.
    pub(crate) fn listen() -> Self {
        Self {
            interrupt: Listener::new(SignalKind::interrupt()),
            terminate: Listener::new(SignalKind::terminate()),
        }
    }

    /// The next one, by its number.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            number = self.interrupt.next() => number,
            number = self.terminate.next() => number,
        }
    }
}
