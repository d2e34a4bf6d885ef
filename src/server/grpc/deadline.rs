//! The deadline of a call, from its `grpc-timeout`.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

use crate::service::{Error, ErrorKind, Shown};

/// When the client stops waiting: `arrived` plus its `grpc-timeout`, if it sent one.
pub(super) fn deadline(metadata: &MetadataMap, arrived: Instant) -> Result<Option<Instant>, Error> {
    let Some(value) = metadata.get("grpc-timeout") else { return Ok(None) };
    match parse(value.as_bytes()) {
        Some(timeout) => Ok(arrived.checked_add(timeout)),
        None => {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = Shown(&value);
            let message = format!("grpc-timeout is `{value}`: it must be 1 to 8 digits and a unit, one of H M S m u n");
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
    }
}

/// At most eight digits and a unit: hours, minutes, seconds, milli-, micro- or nanoseconds.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_grpc_specification_is_read() {
        assert_eq!(parse(b"1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse(b"2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse(b"3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse(b"99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(parse(b"5n"), Some(Duration::from_nanos(5)));
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for text in ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1 S"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "soon".parse().expect("ASCII"));
        assert!(deadline(&metadata, Instant::now()).expect_err("refused").message.contains("soon"));
    }
}
