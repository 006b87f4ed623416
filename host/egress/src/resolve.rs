//! From a host's name to the addresses that may be connected to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use crate::address::zone;
use crate::allow::{Allow, covers};
use crate::error::EgressError;
use crate::url::Origin;

/// Most addresses of one name that are looked at; connecting tries them in turn.
const ADDRESSES_MAX: usize = 16;

/// The addresses of a name, once they are there.
pub type Resolution<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Whoever knows the addresses of names.
pub trait Resolver: Send + Sync {
    /// Looks one up.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolution<'a>;
}

/// The machine's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolution<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The addresses of that origin, all of them checked: one that may not be connected to
/// refuses the whole name, since whoever answers for it chooses which is used.
pub(crate) async fn checked(
    origin: &Origin,
    allowed: &[Allow],
    resolver: &dyn Resolver,
) -> Result<Vec<SocketAddr>, EgressError> {
    let addresses = match origin.literal() {
        Some(address) => vec![address],
        None => resolver
            .resolve(origin.host())
            .await
            .map_err(|source| EgressError::Resolve {
                origin: origin.clone(),
                source,
            })?,
    };
    let mut good = Vec::new();
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        check(origin, allowed, address)?;
        good.push(SocketAddr::new(address, origin.port()));
    }
    if good.is_empty() {
        return Err(EgressError::NoAddress {
            origin: origin.clone(),
        });
    }
    Ok(good)
}

fn check(origin: &Origin, allowed: &[Allow], address: IpAddr) -> Result<(), EgressError> {
    match zone(address) {
        Some(zone) if !covers(allowed, origin.host(), address) => Err(EgressError::Address {
            origin: origin.clone(),
            address,
            zone,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Whether every one of these addresses is allowed by name or network, so that what is
/// sent there may go without TLS.
pub(crate) fn all_allowed(origin: &Origin, allowed: &[Allow], addresses: &[SocketAddr]) -> bool {
    addresses
        .iter()
        .all(|address| covers(allowed, origin.host(), address.ip()))
}
