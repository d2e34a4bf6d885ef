//! Sockets that whoever started us has opened already, as systemd does for socket units: they outlive this process, so that nobody is refused
//! while it is started again. The protocol is that of `sd_listen_fds(3)`.
//!
//! Must not know what is served on them.

use std::{
    env,
    fs::read_link,
    net::TcpListener as StdTcpListener,
    os::{
        fd::{FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixListener as StdUnixListener,
    },
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};
use tokio::net::{TcpListener, UnixListener};

use crate::server::Entrance;

const COUNT: &str = "LISTEN_FDS";
const PROCESS: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";

/// The first descriptor that may be one.
const FIRST: RawFd = 3;

/// The doors, as `FileDescriptorName=` in a socket unit names them.
const DOORS: [&str; 3] = ["http", "grpc", "management"];

static TAKEN: AtomicBool = AtomicBool::new(false);

/// What was handed over, by its door.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Vec<(&'static str, OwnedFd)>);

impl HandedOver {
    /// Takes what the environment announces. To be called first of all, before this process opens anything.
    ///
    /// # Errors
    /// Where what was announced is not there, or cannot be served on.
    pub(super) fn take() -> anyhow::Result<Self> {
        let [count, process, names] = [COUNT, PROCESS, NAMES].map(|name| env::var(name).ok());
        let doors = announced(count.as_deref(), process.as_deref(), names.as_deref(), process::id())?;
        if doors.is_empty() || TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let taken = (FIRST..).zip(doors).map(|(descriptor, door)| {
            let listener = descriptor_of(descriptor).and_then(|socket| checked(socket, door));
            Ok((door, listener.with_context(|| format!("the socket `{door}` ({COUNT}, descriptor {descriptor})"))?))
        });
        taken.collect::<anyhow::Result<_>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one for a door, if there is one. Within a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn entrance(&mut self, door: &str) -> anyhow::Result<Option<Entrance>> {
        let Some(place) = self.0.iter().position(|(name, _)| *name == door) else { return Ok(None) };
        let (_, socket) = self.0.swap_remove(place);
        let is_unix = sockopt::socket_domain(&socket)? == AddressFamily::UNIX;
        Ok(Some(if is_unix {
            let listener = StdUnixListener::from(socket);
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)?.into()
        } else {
            let listener = StdTcpListener::from(socket);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)?.into()
        }))
    }
}

/// The door of each socket, in the order of their descriptors; none where they are meant for another process, or there are none.
fn announced(
    count: Option<&str>,
    process: Option<&str>,
    names: Option<&str>,
    own: u32,
) -> anyhow::Result<Vec<&'static str>> {
    let (Some(count), Some(process)) = (count, process) else { return Ok(Vec::new()) };
    let meant: u32 =
        process.parse().with_context(|| format!("{PROCESS} is {process:?}: it must be the number of a process"))?;
    // As children of whoever was started by systemd have it.
    if meant != own {
        return Ok(Vec::new());
    }
    let count: usize =
        count.parse().with_context(|| format!("{COUNT} is {count:?}: it must be the number of sockets"))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let names: Vec<_> = names.unwrap_or_default().split(':').collect();
    let Some(names) = Some(names).filter(|names| names.len() == count) else {
        bail!(
            "{COUNT} announces {count} sockets, and {NAMES} does not name as many: write FileDescriptorName=http, grpc or \
             management into each socket unit"
        );
    };
    let mut doors = Vec::new();
    for name in names {
        let Some(door) = DOORS.into_iter().find(|door| *door == name) else {
            bail!(
                "{NAMES} has {name:?}: write FileDescriptorName=http, grpc or management into its socket unit, since a socket is \
                 told by that"
            );
        };
        if doors.contains(&door) {
            bail!(
                "{NAMES} has {door:?} twice: a door has one socket; let its unit have one ListenStream=, of IPv6 with \
                 BindIPv6Only=both for both kinds of addresses"
            );
        }
        doors.push(door);
    }
    Ok(doors)
}

/// The descriptor as ours, if it is a socket at all.
fn descriptor_of(descriptor: RawFd) -> anyhow::Result<OwnedFd> {
    let opened = read_link(format!("/proc/self/fd/{descriptor}"));
    match opened {
        Ok(target) if target.to_string_lossy().starts_with("socket:") => {}
        Ok(target) => bail!("is {}, no socket: whoever starts this process must pass sockets", target.display()),
        Err(_) => bail!("is not open: whoever starts this process must leave it open"),
    }
    // SAFETY: it is open, as was just seen. Nobody else in this process has it: `LISTEN_PID` names this process, so whoever started it put the
    // descriptor there for it; `take` is called before anything of ours is opened, and goes through once (`TAKEN`), with
    // each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The socket, if connections can be accepted on it.
fn checked(socket: OwnedFd, door: &str) -> anyhow::Result<OwnedFd> {
    // What we start is to have none of it.
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    let family = sockopt::socket_domain(&socket)?;
    let is_known = [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX].contains(&family);
    if !is_known || sockopt::socket_type(&socket)? != SocketType::STREAM {
        bail!("is no stream of TCP or unix: its unit needs ListenStream=, not ListenDatagram= or another");
    }
    if !sockopt::socket_acceptconn(&socket)? {
        bail!("is a connection, or does not listen: its unit needs Accept=no, and one process serves all of `{door}`");
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(count: &str, process: &str, names: Option<&str>) -> String {
        format!("{:#}", announced(Some(count), Some(process), names, 7).unwrap_err())
    }

    #[test]
    fn sockets_are_told_by_their_names_in_any_order() {
        let all = announced(Some("3"), Some("7"), Some("grpc:management:http"), 7).unwrap();
        assert_eq!(all, ["grpc", "management", "http"]);
        assert_eq!(announced(Some("1"), Some("7"), Some("http"), 7).unwrap(), ["http"]);
    }

    #[test]
    fn what_is_meant_for_another_process_or_is_not_there_is_none() {
        for (count, process) in
            [(None, None), (Some("2"), None), (None, Some("7")), (Some("2"), Some("8")), (Some("0"), Some("7"))]
        {
            let none: [&str; 0] = [];
            assert_eq!(announced(count, process, Some("http:grpc"), 7).unwrap(), none, "{count:?} {process:?}");
        }
    }

    #[test]
    fn odd_values_are_refused_with_the_value_and_what_to_write() {
        for (said, words) in [
            (refusal("two", "7", Some("http")), ["LISTEN_FDS is \"two\"", "number of sockets"]),
            (refusal("-1", "7", Some("http")), ["LISTEN_FDS is \"-1\"", "number of sockets"]),
            (refusal("1", "", Some("http")), ["LISTEN_PID is \"\"", "number of a process"]),
            (refusal("2", "7", Some("http")), ["announces 2 sockets", "FileDescriptorName="]),
            (refusal("1", "7", None), ["LISTEN_FDNAMES has \"\"", "FileDescriptorName="]),
            (refusal("1", "7", Some("resnetd.socket")), ["\"resnetd.socket\"", "FileDescriptorName="]),
            (refusal("2", "7", Some("http:http")), ["\"http\" twice", "BindIPv6Only=both"]),
            (refusal("4294967296", "7", Some("http")), ["announces 4294967296", "FileDescriptorName="]),
        ] {
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}
