//! `resnetd healthcheck`: a container's health check that needs no shell and no curl.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};

use super::ConfigArgs;
use crate::config::Flags;

/// A server that needs longer to say a word is not healthy.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the server's HTTP door is, if not where the configuration says
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
}

pub(super) fn run(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let mut address = args.config.load(Flags { http: args.http, ..Flags::default() })?.server.http;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let answer = ask(address).with_context(|| format!("no answer from the server at http://{address}"))?;
    match answer.lines().next().unwrap_or_default() {
        line if line.contains(" 200 ") => Ok(()),
        line => bail!("the server at http://{address} is not ready: {line}"),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut head = String::new();
    stream.take(4096).read_to_string(&mut head)?;
    Ok(head)
}
