//! That nothing is open by chance: which addresses anybody could ask, or where keys could be read, by what is in force.

use std::net::SocketAddr;

use super::{Config, values::parse_address};
use crate::settings::SettingError;

impl Config {
    /// Whoever reaches the management address can load and unload models: beyond this machine only with a key or a certificate.
    pub(super) fn validate_management(&self) -> Result<(), SettingError> {
        let refuse = |problem| Err(SettingError::Key { key: "server.management".to_owned(), problem });
        let address = match self.server.management.as_str() {
            "" => return Ok(()),
            address => match parse_address(address) {
                Ok(address) => address,
                Err(problem) => return refuse(problem),
            },
        };
        if address.ip().is_loopback() || self.auth.is_on() || self.wants_certificates() {
            return Ok(());
        }
        refuse(format!(
            "is {address}, and whoever reaches it could load and unload models: let it be 127.0.0.1, make keys (`resnetd keys add`) and set \
             `auth.keys_file`, or set `auth.oidc.issuer` or `tls.client_ca`"
        ))
    }

    /// The same with the addresses that the doors have in truth: sockets that were handed over are where whoever opened them wants them.
    ///
    /// * each address: `None` where nobody beyond this machine comes in, and for `management` where there is none
    ///
    /// # Errors
    /// Where the management address is open to everybody.
    pub fn served_at(
        mut self,
        http: Option<SocketAddr>,
        grpc: Option<SocketAddr>,
        management: Option<SocketAddr>,
    ) -> Result<Self, SettingError> {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        self.server.http = http.unwrap_or(here);
        self.server.grpc = grpc.unwrap_or(here);
        self.server.management = management.map(|address| address.to_string()).unwrap_or_default();
        self.validate_management()?;
        Ok(self)
    }

    /// The addresses beyond this machine at which everybody would be answered who reaches them, by the settings that say so.
    pub fn open_addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        if self.auth.is_on() || self.wants_certificates() {
            return Vec::new();
        }
        beyond_this_machine(self.doors())
    }

    /// The addresses beyond this machine where keys and tokens come without TLS, by the settings that say so: whoever is on their way reads them.
    pub fn cleartext_addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        if !self.auth.is_on() || self.tls.is_on() {
            return Vec::new();
        }
        let management = parse_address(&self.server.management).ok().map(|address| ("server.management", address));
        beyond_this_machine(self.doors().into_iter().chain(management))
    }

    fn doors(&self) -> [(&'static str, SocketAddr); 2] {
        [("server.http", self.server.http), ("server.grpc", self.server.grpc)]
    }

    fn wants_certificates(&self) -> bool {
        !self.tls.client_ca.as_os_str().is_empty()
    }
}

fn beyond_this_machine(
    addresses: impl IntoIterator<Item = (&'static str, SocketAddr)>,
) -> Vec<(&'static str, SocketAddr)> {
    addresses.into_iter().filter(|(_, address)| !address.ip().is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(http: &str, management: &str, keys: &str, client_ca: &str) -> Config {
        let mut config = Config::default();
        config.server.http = http.parse().unwrap();
        config.server.management = management.to_owned();
        config.auth.keys_file = keys.into();
        config.tls.client_ca = client_ca.into();
        config
    }

    #[test]
    fn management_beyond_this_machine_wants_a_key_or_a_certificate() {
        let judged = |management: &str, keys: &str, client_ca: &str| {
            config("127.0.0.1:1", management, keys, client_ca).validate_management().map_err(|error| error.to_string())
        };
        for (management, keys, client_ca) in [
            ("", "", ""),
            ("127.0.0.1:8002", "", ""),
            ("[::1]:8002", "", ""),
            ("0.0.0.0:8002", "keys.toml", ""),
            ("10.0.0.1:8002", "", "ca.crt"),
        ] {
            assert_eq!(judged(management, keys, client_ca), Ok(()), "{management}");
        }
        for management in ["0.0.0.0:8002", "[::]:8002", "192.0.2.1:8002"] {
            let refused = judged(management, "", "").unwrap_err();
            assert!(refused.contains("server.management") && refused.contains("resnetd keys add"), "{refused}");
        }
    }

    #[test]
    fn sockets_that_were_handed_over_are_judged_by_where_they_are() {
        let (far, here) = ("192.0.2.1:8000".parse().unwrap(), "127.0.0.1:8000".parse().unwrap());
        let config = || config("127.0.0.1:1", "127.0.0.1:2", "", "");
        let open = config().served_at(Some(far), None, Some(here)).unwrap().open_addresses();
        assert_eq!(open, [("server.http", far)]);
        assert_eq!(config().served_at(None, None, None).unwrap().open_addresses(), []);
        assert!(config().served_at(None, None, Some(far)).is_err());
    }

    #[test]
    fn what_is_open_beyond_this_machine_is_named_unless_somebody_asks_who_comes() {
        let open = |http: &str, keys: &str, client_ca: &str| config(http, "", keys, client_ca).open_addresses();
        assert_eq!(open("0.0.0.0:8000", "", ""), [("server.http", "0.0.0.0:8000".parse().unwrap())]);
        for (http, keys, client_ca) in
            [("127.0.0.1:8000", "", ""), ("0.0.0.0:8000", "keys.toml", ""), ("0.0.0.0:8000", "", "ca.crt")]
        {
            assert_eq!(open(http, keys, client_ca), [], "{http}");
        }
    }

    #[test]
    fn keys_and_tokens_that_come_without_tls_from_beyond_this_machine_are_told_of_address_by_address() {
        let far: SocketAddr = "0.0.0.0:8000".parse().unwrap();
        let named = |config: &Config| config.cleartext_addresses();
        let keyed = |http: &str, management: &str| config(http, management, "keys.toml", "");
        assert_eq!(named(&keyed("0.0.0.0:8000", "")), [("server.http", far)]);
        let both = [("server.http", far), ("server.management", "192.0.2.1:8002".parse().unwrap())];
        assert_eq!(named(&keyed("0.0.0.0:8000", "192.0.2.1:8002")), both);
        let mut tokens = config("0.0.0.0:8000", "", "", "");
        tokens.auth.oidc.issuer = "https://id.example.com".to_owned();
        assert_eq!(named(&tokens), [("server.http", far)]);

        let mut under_tls = keyed("0.0.0.0:8000", "192.0.2.1:8002");
        under_tls.tls.cert = "server.crt".into();
        let at_sockets = keyed("0.0.0.0:8000", "").served_at(None, None, None).unwrap();
        let without_keys = config("0.0.0.0:8000", "", "", "");
        for quiet in [under_tls, at_sockets, without_keys, keyed("127.0.0.1:8000", "[::1]:8002")] {
            assert_eq!(named(&quiet), [], "{quiet:?}");
        }
    }
}
