//! The generated half of the contract, one module for each capability.
//!
//! Each capability binds a world of its own with one exported interface. A component is
//! the union of the worlds whose export macros its plugin called, so that a connector
//! without webhooks simply lacks `mapper`, and no combination of capabilities needs a
//! world written for it. Only [`crate::guest`] and [`crate::export!`] see these types.
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated, and not public"
)]

/// Types that all capabilities share, and the one import.
pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:sdk-shared;
            world shared {
                import tidegate:connector/types@0.1.0;
                import tidegate:connector/partner@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
    });
}

pub mod describer {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:sdk-describer;
            world describes { export tidegate:connector/describer@0.1.0; }
        ",
        with: {
            "tidegate:connector/types@0.1.0": crate::bindings::shared::tidegate::connector::types,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_describer",
    });
}

pub mod mapper {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:sdk-mapper;
            world maps { export tidegate:connector/mapper@0.1.0; }
        ",
        with: {
            "tidegate:connector/types@0.1.0": crate::bindings::shared::tidegate::connector::types,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_mapper",
    });
}

pub mod poller {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:sdk-poller;
            world polls { export tidegate:connector/poller@0.1.0; }
        ",
        with: {
            "tidegate:connector/types@0.1.0": crate::bindings::shared::tidegate::connector::types,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_poller",
    });
}

pub mod lister {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package tidegate:sdk-lister;
            world lists { export tidegate:connector/lister@0.1.0; }
        ",
        with: {
            "tidegate:connector/types@0.1.0": crate::bindings::shared::tidegate::connector::types,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_lister",
    });
}
