//! Whose a request is, where clients take turns: what tells them apart, and a number for each.
//!
//! The number is a hash with a key that each process draws, so that nobody can choose to be taken for somebody else. What a header
//! says is taken as it was sent: nobody has checked it here.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::Arc,
};

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName},
};

use crate::service::ClientId;

pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What tells clients apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FairBy {
    /// Nothing: requests are answered in the order in which they come.
    #[default]
    Nobody,
    /// The name of the key that was let in; without keys the header `x-api-key`, else `authorization`.
    ApiKey,
    /// A header, or the metadata of that name; requests without it are one client's.
    Header(HeaderName),
    /// The address of the other end of the connection: of IPv6 its first 64 bits, which one customer has. Behind a proxy that is the
    /// proxy's.
    Address,
}

/// Tells whose requests are. Clones agree.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    by: FairBy,
    key: Arc<RandomState>,
}

impl Clients {
    pub(super) fn new(by: FairBy) -> Self {
        Self { by, key: Arc::default() }
    }

    /// Whose a request is; `None` where nobody takes turns.
    ///
    /// * `address`: of the other end; one that is not known is nobody's in particular
    /// * `key`: the name of the key that was let in
    pub(super) fn of(&self, headers: &HeaderMap, address: Option<IpAddr>, key: Option<&str>) -> Option<ClientId> {
        let header = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
        let id = match &self.by {
            FairBy::Nobody => return None,
            FairBy::ApiKey => match key {
                Some(name) => self.key.hash_one(name),
                None => self.key.hash_one(header(&API_KEY).or_else(|| header(&AUTHORIZATION))),
            },
            FairBy::Header(name) => self.key.hash_one(header(name)),
            FairBy::Address => self.key.hash_one(address.map(network)),
        };
        Some(ClientId(id))
    }
}

/// What of an address tells clients apart.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        // Global addresses begin with 2000::/3, so none of them looks like an IPv4 address here.
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        named.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn same(clients: &Clients, one: &[(&'static str, &'static str)], other: &[(&'static str, &'static str)]) -> bool {
        let [one, other] = [one, other].map(|named| clients.of(&headers(named), None, None));
        one.is_some() && one == other
    }

    #[test]
    fn nobody_takes_turns_unless_it_is_set() {
        assert_eq!(Clients::new(FairBy::default()).of(&headers(&[("x-tenant", "a")]), None, None), None);
    }

    #[test]
    fn a_header_tells_clients_apart_and_those_without_it_are_one() {
        let clients = Clients::new(FairBy::Header(HeaderName::from_static("x-tenant")));
        assert!(same(&clients, &[("x-tenant", "a"), ("x-api-key", "1")], &[("x-tenant", "a")]));
        assert!(!same(&clients, &[("x-tenant", "a")], &[("x-tenant", "b")]));
        assert!(same(&clients, &[], &[("x-api-key", "1")]));
        assert!(!same(&clients, &[], &[("x-tenant", "")]));
    }

    #[test]
    fn an_api_key_is_one_of_two_headers() {
        let clients = Clients::new(FairBy::ApiKey);
        assert!(same(&clients, &[("x-api-key", "k")], &[("x-api-key", "k"), ("authorization", "Bearer t")]));
        assert!(!same(&clients, &[("authorization", "Bearer t")], &[("authorization", "Bearer u")]));
        let of_key = |name, header| clients.of(&headers(&[("x-api-key", header)]), None, Some(name));
        assert!(of_key("front", "1") == of_key("front", "2") && of_key("front", "1") != of_key("back", "1"));
    }

    #[test]
    fn an_address_is_one_client_of_ipv4_and_a_network_of_ipv6() {
        let clients = Clients::new(FairBy::Address);
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other]
                .map(|address| clients.of(&HeaderMap::new(), Some(address.parse().expect("an address")), None));
            one == other
        };
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9") && !same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    }
}
