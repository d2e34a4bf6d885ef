//! Which feature of an example is the picture. Pure.
//!
//! In TensorFlow Serving its name is the model's affair, and clients trip on it. Here it is one of a few usual names, or the only
//! feature that there is.

use crate::service::{Error, ErrorKind, Shown};

/// What a picture is called, the first that is there.
const PICTURE_FEATURES: [&str; 4] = ["image", "image/encoded", "image_bytes", "b64"];

/// What says in a context how many classes an image gets.
pub(in crate::server) const CONTEXT_TOP_K: [&str; 2] = ["k", "top_k"];

/// Whether a feature is taken for the picture, whatever is beside it.
pub(in crate::server) fn is_picture(name: &str) -> bool {
    PICTURE_FEATURES.contains(&name)
}

/// The picture among the features of an example, or of what all examples have in common.
pub(in crate::server) fn picture<F: Copy>(features: &[(&str, F)]) -> Option<F> {
    let named = |name: &&str| features.iter().find(|(known, _)| known == name);
    let only = features.first().filter(|(name, _)| features.len() == 1 && !CONTEXT_TOP_K.contains(name));
    PICTURE_FEATURES.iter().find_map(named).or(only).map(|(_, feature)| *feature)
}

/// The refusal of an example in which none of the features is known to be the picture.
pub(in crate::server) fn no_picture(mut names: Vec<&str>) -> Error {
    const MOST: usize = 8;
    names.sort_unstable();
    let more = if names.len() > MOST { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", Shown(name))).collect();
    let there = if names.is_empty() { "no feature".to_owned() } else { format!("{}{more}", shown.join(", ")) };
    let message =
        format!("the example has {there}: send the bytes of an image file as the feature `{}`", PICTURE_FEATURES[0]);
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_found_by_its_name_or_because_it_is_alone() {
        for (features, found) in [
            (&[("image", 1)][..], Some(1)),
            (&[("image/format", 1), ("image/encoded", 2)], Some(2)),
            (&[("b64", 1), ("image", 2)], Some(2)),
            (&[("x", 1)], Some(1)),
            (&[("k", 1), ("image", 2)], Some(2)),
            (&[("x", 1), ("y", 2)], None),
            (&[("k", 1)], None),
            (&[], None),
        ] {
            assert_eq!(picture(features), found, "{features:?}");
        }
    }

    #[test]
    fn who_sends_no_picture_is_told_what_came_and_what_to_send() {
        let message = no_picture(vec!["y", "x"]).message;
        assert_eq!(message, "the example has `x`, `y`: send the bytes of an image file as the feature `image`");
        assert!(no_picture(vec![]).message.contains("no feature"));
        let long = "n".repeat(9_000);
        let message = no_picture(vec![&long; 100]).message;
        assert!(message.len() < 3_000, "{message}");
    }
}
