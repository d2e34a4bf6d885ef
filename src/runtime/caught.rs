//! Panics as words: whoever runs what may panic on a thread of its own has to tell somebody why no answer comes.
//!
//! A leaf, here because every room that has threads may use this one.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `work`; a panic in it is an error with the panic's words. Values that `work` was changing may be half changed then:
/// the caller puts them in order or throws them away.
///
/// # Errors
/// What the panic said.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words = words(&*panic);
        // Its destructor could panic as well, here where nobody catches it; some bytes are the smaller loss.
        std::mem::forget(panic);
        words
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic that panics again when it is thrown away.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("and again");
        }
    }

    #[test]
    fn a_panic_becomes_its_words_whatever_it_throws() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("no such layer")).map(|()| 0), Err("no such layer".to_owned()));
        assert_eq!(caught(|| panic!("layer {}", 3)).map(|()| 0), Err("layer 3".to_owned()));
        let thrown = caught(|| std::panic::panic_any(Bomb)).map(|()| 0);
        assert_eq!(thrown, Err("it does not say why".to_owned()));
    }
}
