//! Admission: what a file is, read from its first bytes and the names in it.
//!
//! Nothing is compiled or run here. Whoever gets a refusal is a connector's author or an
//! operator with the wrong file, so each names the item and what to do about it.

use rustix::process::Signal;
use tidegate_core::failure::Failure;
use tidegate_core::limits::{DESCRIPTOR_BYTES_MAX, MIB, PLUGIN_BYTES_MAX};
use wasmtime::wasmparser::{Parser, Payload};

use crate::fault;

/// The contract's package, and the range of it that this host serves.
const PACKAGE: &str = "tidegate:connector/";
const SERVED: &str = "0.1.x";

/// Packages of WASI that a plugin may import; `wasi:http` is not one of them.
const WASI_PACKAGES: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Why a file was not loaded as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than a plugin may be.
    #[error("the file is {} MiB large, over {} MiB", bytes / MIB, PLUGIN_BYTES_MAX / MIB)]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// No WebAssembly at all.
    #[error("the file is not WebAssembly but {found}: {fix}")]
    NotWasm {
        /// What it looks like.
        found: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A core module.
    #[error(
        "the file is a core WebAssembly module, not a component: build it with --target wasm32-wasip2"
    )]
    CoreModule,
    /// Of a layer or version that nobody knows here.
    #[error(
        "the file is WebAssembly of an unknown kind (version bytes {version}): build it with --target wasm32-wasip2"
    )]
    UnknownLayer {
        /// Bytes 4 to 8, in hexadecimal.
        version: String,
    },
    /// Cut short or damaged.
    #[error(
        "the component is damaged or cut short at byte {offset}: {reason}; copy it again, whole, and replace the old file by renaming"
    )]
    Damaged {
        /// Where.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Built against another version of the contract.
    #[error(
        "it {direction} {item}, this host serves {SERVED}: rebuild it against tidegate:connector 0.1"
    )]
    ContractVersion {
        /// `exports` or `imports`.
        direction: &'static str,
        /// The whole name: `tidegate:connector/mapper@0.2.0`.
        item: String,
    },
    /// Exports nothing of the contract.
    #[error(
        "it exports nothing of tidegate:connector: export tidegate:connector/describer@0.1.0 and mapper, poller or lister"
    )]
    NoExports,
    /// Does not describe itself.
    #[error("it does not export tidegate:connector/describer@0.1.0: every plugin describes itself")]
    NoDescriber,
    /// Can do nothing.
    #[error(
        "it describes itself and can do nothing: export mapper, poller or lister of tidegate:connector@0.1.0"
    )]
    NoCapability,
    /// Imports what a plugin does not get.
    #[error("it imports {item}: {fix}")]
    Import {
        /// What.
        item: String,
        /// What to do.
        fix: &'static str,
    },
    /// The compiler refuses it.
    #[error("it does not compile: {reason}")]
    Compile {
        /// What the compiler says.
        reason: String,
    },
    /// What ended the compiler would have ended the host.
    #[error("the compiler was ended by signal {signal}: {}", why_ended(*signal))]
    CompilerEnded {
        /// By which.
        signal: i32,
    },
    /// An import has another shape than the host's.
    #[error("an import does not fit: {reason}; rebuild it against tidegate:connector 0.1")]
    Link {
        /// Which, and how.
        reason: String,
    },
    /// An export has another shape than the contract's.
    #[error(
        "its export tidegate:connector/{interface} does not fit the contract: {reason}; rebuild it against tidegate:connector 0.1"
    )]
    Export {
        /// Which.
        interface: &'static str,
        /// How.
        reason: String,
    },
    /// `describe` failed.
    #[error("it could not describe itself: {failure}")]
    Describe {
        /// How.
        failure: Failure,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// The descriptor is over its bound.
    #[error("its descriptor is {bytes} bytes long, over {} KiB", DESCRIPTOR_BYTES_MAX / 1024)]
    DescriptorTooLarge {
        /// How long.
        bytes: usize,
    },
}

/// What to do where the compiler was ended by that signal.
fn why_ended(signal: i32) -> &'static str {
    let [kill, xcpu] = [Signal::KILL, Signal::XCPU].map(Signal::as_raw);
    if signal == kill || signal == xcpu {
        "it took too much memory or time; make the plugin smaller (opt-level = \"s\", fewer \
         dependencies) or give the machine more memory"
    } else {
        "a mistake in the compiler, not in the plugin; build the plugin with other options and \
         report it with the file"
    }
}

impl LoadError {
    pub(crate) fn compile(error: &wasmtime::Error) -> Self {
        Self::Compile {
            reason: fault::chain(error),
        }
    }

    pub(crate) fn link(error: &wasmtime::Error) -> Self {
        Self::Link {
            reason: fault::chain(error),
        }
    }

    pub(crate) fn export(interface: &'static str, error: &wasmtime::Error) -> Self {
        Self::Export {
            interface,
            reason: fault::chain(error),
        }
    }
}

/// Whether the file may be compiled at all.
pub(crate) fn admit(wasm: &[u8]) -> Result<(), LoadError> {
    if wasm.len() > PLUGIN_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes: wasm.len() });
    }
    kind(wasm)?;
    let names = Names::read(wasm)?;
    names.exports()?;
    names.imports.iter().try_for_each(|name| import(name))
}

fn kind(wasm: &[u8]) -> Result<(), LoadError> {
    let Some(version) = wasm.strip_prefix(b"\0asm") else {
        return Err(not_wasm(wasm));
    };
    match version.get(..4) {
        Some([0x0d, 0, 1, 0]) => Ok(()),
        Some([1, 0, 0, 0]) => Err(LoadError::CoreModule),
        Some(other) => Err(LoadError::UnknownLayer {
            version: hex::encode(other),
        }),
        None => Err(LoadError::Damaged {
            offset: wasm.len(),
            reason: "it ends within its first eight bytes".to_owned(),
        }),
    }
}

fn not_wasm(bytes: &[u8]) -> LoadError {
    const BUILD: &str = "build the plugin with --target wasm32-wasip2 and give the .wasm file";
    const ELSEWHERE: &str = "the address that it came from answered with something else";
    const UNPACK: &str = "unpack it and give the .wasm file in it";
    let text = bytes.trim_ascii_start();
    let (found, fix) = match text {
        [] => ("empty", "copy it again, whole"),
        [b'<', ..] => ("a web page", ELSEWHERE),
        [b'{' | b'[', ..] => ("JSON", ELSEWHERE),
        [b'(', ..] => (
            "WebAssembly text",
            "give the binary form (wasm-tools parse)",
        ),
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => ("an archive", UNPACK),
        [0x7f, b'E', b'L', b'F', ..] => ("a program for this machine", BUILD),
        _ => ("something else", BUILD),
    };
    LoadError::NotWasm { found, fix }
}

/// The names at the component's own level.
struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// Walks the whole file, so that one that was cut short is found here.
    fn read(wasm: &'a [u8]) -> Result<Self, LoadError> {
        let mut names = Names {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        names.collect(wasm).map_err(|error| LoadError::Damaged {
            offset: error.offset(),
            reason: error.message().to_owned(),
        })?;
        Ok(names)
    }

    fn collect(&mut self, wasm: &'a [u8]) -> Result<(), wasmtime::wasmparser::BinaryReaderError> {
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                // The component's own end has no level to leave.
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        self.imports.push(import?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        self.exports.push(export?.name.name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn exports(&self) -> Result<(), LoadError> {
        let mut found = false;
        let (mut describer, mut capability) = (false, false);
        for name in &self.exports {
            let Some(interface) = name.strip_prefix(PACKAGE) else {
                continue;
            };
            found = true;
            check_version("exports", name)?;
            match interface
                .split_once('@')
                .map_or(interface, |(name, _)| name)
            {
                "describer" => describer = true,
                "mapper" | "poller" | "lister" => capability = true,
                _ => {}
            }
        }
        match (found, describer, capability) {
            (false, _, _) => Err(LoadError::NoExports),
            (true, false, _) => Err(LoadError::NoDescriber),
            (true, true, false) => Err(LoadError::NoCapability),
            (true, true, true) => Ok(()),
        }
    }
}

fn import(name: &str) -> Result<(), LoadError> {
    let refuse = |fix| {
        Err(LoadError::Import {
            item: name.to_owned(),
            fix,
        })
    };
    if name.starts_with(PACKAGE) {
        check_version("imports", name)
    } else if name.starts_with("wasi:http/") {
        refuse("a plugin has no network; requests go through tidegate:connector/partner")
    } else if WASI_PACKAGES
        .iter()
        .any(|package| name.starts_with(package))
    {
        match version(name) {
            Some((0, 2)) => Ok(()),
            _ => refuse("this host serves WASI 0.2: build it with --target wasm32-wasip2"),
        }
    } else {
        refuse("a plugin may import tidegate:connector and WASI 0.2 and nothing else")
    }
}

fn check_version(direction: &'static str, name: &str) -> Result<(), LoadError> {
    match version(name) {
        Some((0, 1)) => Ok(()),
        _ => Err(LoadError::ContractVersion {
            direction,
            item: name.to_owned(),
        }),
    }
}

/// Major and minor version in a name; what follows is compatible within them.
fn version(name: &str) -> Option<(u64, u64)> {
    let (_, version) = name.split_once('@')?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
