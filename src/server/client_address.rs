//! Where a connection comes from, as far as the system knows: an address of the network, or a process of this machine.
//!
//! Behind a proxy it is the proxy's: what a header says of whoever is behind that one is not looked at, since anybody may send it.

use std::{
    fmt::{self, Display},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use tokio::net::UnixStream;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAddress {
    /// Of TCP.
    Network(SocketAddr),
    /// Of a socket in the file system: who connected, where the system tells.
    Local {
        /// The number of the user.
        user: Option<u32>,
        /// The number of the process; it may have handed the connection on since, and another one may have the number by now.
        process: Option<i32>,
    },
}

impl ClientAddress {
    /// Whoever is at the other end of this socket.
    pub(super) fn of_unix(stream: &UnixStream) -> Self {
        let known = stream.peer_cred().ok();
        Self::Local { user: known.map(|known| known.uid()), process: known.and_then(|known| known.pid()) }
    }

    /// The address alone. Whoever is on this machine has no other one than the machine's own.
    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Self::Network(address) => address.ip(),
            Self::Local { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Network(address)
    }
}

impl Display for ClientAddress {
    /// `192.0.2.7:40312`, also where IPv6 carries it; `unix:uid=1000,pid=4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => SocketAddr::new(address.ip().to_canonical(), address.port()).fmt(f),
            Self::Local { user: Some(user), process: Some(process) } => write!(f, "unix:uid={user},pid={process}"),
            Self::Local { user: Some(user), process: None } => write!(f, "unix:uid={user}"),
            Self::Local { user: None, .. } => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn an_address_is_written_as_other_logs_have_it() {
        for (address, written) in [
            ("192.0.2.7:40312", "192.0.2.7:40312"),
            ("[::ffff:192.0.2.7]:40312", "192.0.2.7:40312"),
            ("[2001:db8::7]:40312", "[2001:db8::7]:40312"),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(ClientAddress::from(address).to_string(), written);
        }
    }

    #[tokio::test]
    async fn of_a_socket_in_the_file_system_user_and_process_are_known() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        let address = ClientAddress::of_unix(&here);
        let (user, process) = (fs::metadata("/proc/self").expect("Linux").uid(), std::process::id());
        assert_eq!(address.to_string(), format!("unix:uid={user},pid={process}"));
        assert_eq!(address.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
