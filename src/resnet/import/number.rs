//! Numbers inside the names of tensors.

/// Reads the only way to write a number: digits, and none in front that says nothing (`00`, `+1`).
pub(super) fn number(digits: &str) -> Option<usize> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}
