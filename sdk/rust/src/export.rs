//! The one macro that makes a component out of an author's type.

/// Exports a connector.
///
/// `export!(Github);` exports what a webhook connector has: `describer` and `mapper`. Other
/// sets of capabilities are named: `export!(Github with mapper, poller, lister);`.
///
/// On targets other than WebAssembly nothing is exported, only the traits are checked, so
/// that the same crate is tested by plain `cargo test`.
///
/// ```
/// use std::borrow::Cow;
/// use tidegate_sdk::{Connection, Describer, Failure, Mapper, Outcome, Webhook};
///
/// struct Tides;
///
/// impl Describer for Tides {
///     fn descriptor() -> Cow<'static, str> {
///         r#"{"descriptor":1,"name":"tides"}"#.into()
///     }
/// }
///
/// impl Mapper for Tides {
///     fn map_webhook(_: &Connection, webhook: &Webhook) -> Result<Outcome, Failure> {
///         Ok(Outcome::skip(format!("{} is not mapped", webhook.header_text("x-tide")?)))
///     }
/// }
///
/// tidegate_sdk::export!(Tides);
/// ```
#[macro_export]
macro_rules! export {
    ($connector:ident) => {
        $crate::export!($connector with mapper);
    };
    ($connector:ident with $($capability:ident),+ $(,)?) => {
        const _: () = {
            $crate::__export_one!(describer $connector);
            $($crate::__export_one!($capability $connector);)+
        };
    };
}

/// One exported capability. Not for authors.
#[doc(hidden)]
#[macro_export]
#[cfg(target_family = "wasm")]
macro_rules! __export_one {
    (describer $connector:ident) => {
        const _: () = {
            type Guest = $crate::__private::Guest<$connector>;
            $crate::__private::describer::export_describer!(Guest with_types_in $crate::__private::describer);
        };
    };
    (mapper $connector:ident) => {
        const _: () = {
            type Guest = $crate::__private::Guest<$connector>;
            $crate::__private::mapper::export_mapper!(Guest with_types_in $crate::__private::mapper);
        };
    };
    (poller $connector:ident) => {
        const _: () = {
            type Guest = $crate::__private::Guest<$connector>;
            $crate::__private::poller::export_poller!(Guest with_types_in $crate::__private::poller);
        };
    };
    (lister $connector:ident) => {
        const _: () = {
            type Guest = $crate::__private::Guest<$connector>;
            $crate::__private::lister::export_lister!(Guest with_types_in $crate::__private::lister);
        };
    };
}

/// One capability whose trait is checked. Not for authors.
#[doc(hidden)]
#[macro_export]
#[cfg(not(target_family = "wasm"))]
macro_rules! __export_one {
    (describer $connector:ident) => {
        const _: fn() = $crate::__private::describes::<$connector>;
    };
    (mapper $connector:ident) => {
        const _: fn() = $crate::__private::maps::<$connector>;
    };
    (poller $connector:ident) => {
        const _: fn() = $crate::__private::polls::<$connector>;
    };
    (lister $connector:ident) => {
        const _: fn() = $crate::__private::lists::<$connector>;
    };
}
