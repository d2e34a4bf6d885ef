//! Values that are more than a number or a word: addresses, and what is logged.

use std::net::{SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de::Error};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Reads `HOST:PORT`; a name is looked up. Of several addresses the first of IPv4 is taken, as clients of `localhost` expect.
///
/// # Errors
/// What is wrong with it, and how it is written.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let example = "write HOST:PORT, for instance 127.0.0.1:8000, localhost:8000 or [::1]:8000";
    match text.rsplit_once(':') {
        None => return Err(format!("{text:?} has no port: {example}")),
        Some(("", port)) => {
            return Err(format!("{text:?} has no host: 0.0.0.0:{port} is every address of this machine"));
        }
        Some((_, port)) if port.parse::<u16>().is_err() => {
            return Err(format!("{port:?} in {text:?} is no port, 0 to 65535: {example}"));
        }
        Some(_) => {}
    }
    let found = text.to_socket_addrs().map_err(|error| format!("{text:?} cannot be found ({error}): {example}"))?;
    let found: Vec<_> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("{text:?} has no address: {example}"))
}

/// The same for `serde`.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

const LEVELS: &str = "off, error, warn, info, debug or trace";

/// What is wrong with a `log.level`, and what is allowed.
///
/// A word that is no level would be taken for the name of a target, at its most talkative, and everything else would be
/// silent: `warning` alone would hide every error.
pub(super) fn level_problem(level: &str) -> Option<String> {
    if level.trim().is_empty() {
        return Some(format!("it is empty: write {LEVELS}"));
    }
    for word in level.split(',').map(str::trim) {
        let named = word.rsplit_once('=').map_or(word, |(_, level)| level);
        // A filter on spans or fields is for those who know how it is written.
        let is_level = named.parse::<LevelFilter>().is_ok() && !named.is_empty();
        if !is_level && !word.contains('[') {
            return Some(format!(
                "{named:?} is no level: write {LEVELS}, or TARGET=LEVEL with commas between, for instance \
                 info,resnetd::server=debug"
            ));
        }
    }
    EnvFilter::builder().parse(level).err().map(|error| format!("{level:?} is no filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_name_and_a_mistake_is_explained() {
        assert_eq!(parse_address("localhost:8000"), Ok(SocketAddr::from(([127, 0, 0, 1], 8000))));
        assert_eq!(parse_address("[::1]:80").unwrap().port(), 80);
        for (wrong, said) in [
            ("localhost", "has no port"),
            (":8000", "0.0.0.0:8000"),
            ("localhost:http", "\"http\" in \"localhost:http\" is no port"),
            ("127.0.0.1:99999", "0 to 65535"),
        ] {
            let message = parse_address(wrong).unwrap_err();
            assert!(message.contains(said), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_level_that_would_silence_everything_is_refused_with_the_words_that_are_allowed() {
        for good in ["info", "WARN", "off", "info,resnetd::server=debug", "h2=trace", "info,a[b]=debug"] {
            assert_eq!(level_problem(good), None, "{good}");
        }
        for wrong in ["warning", "", " ", "resnetd", "info,warning", "resnetd=warning", "info,", "info,resnetd="] {
            let problem = level_problem(wrong);
            assert!(
                problem.as_ref().is_some_and(|problem| problem.contains("off, error, warn, info")),
                "{wrong:?}: {problem:?}"
            );
        }
    }
}
