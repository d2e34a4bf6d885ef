//! What a network said of one image whose class is known.

use serde::{Deserialize, Serialize};

/// How many of the most probable classes are kept: the paper counts an image right among five.
pub(super) const KEPT_CLASSES: usize = 5;

/// The answer to one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The class that the image is of.
    pub class: usize,
    /// The most probable classes with their probabilities, the most probable first; empty where the network gave no numbers.
    pub top: Vec<(usize, f32)>,
}

impl Verdict {
    /// The most probable class.
    pub fn first(&self) -> Option<usize> {
        self.top.first().map(|&(class, _)| class)
    }

    /// Its probability; 0 where there is none.
    pub fn confidence(&self) -> f32 {
        self.top.first().map_or(0.0, |&(_, probability)| probability)
    }

    /// Whether the most probable class is the right one.
    pub fn is_right(&self) -> bool {
        self.first() == Some(self.class)
    }

    /// Whether the right class is among the five most probable.
    pub fn is_among_five(&self) -> bool {
        self.top.iter().take(5).any(|&(class, _)| class == self.class)
    }
}
