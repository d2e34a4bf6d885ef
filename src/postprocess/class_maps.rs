//! Which places of a picture speak for a class: exact class activation maps (Zhou et al. 2016). Pure.
//!
//! A network that ends in a mean over the picture and one layer says of class `c` the sum over all places of
//! `sum_k W[c,k] * F_k[y,x] / (h*w)`, and its bias: each place has its part of the logit, and no gradient is needed to find it.

/// The last layer of a network, and the places that it takes the mean of.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMaps {
    /// Places of a map, up and down.
    pub height: usize,
    /// Places of a map, across.
    pub width: usize,
    /// How many maps are averaged, `K`.
    pub channels: usize,
    /// Whether the maps lie as `[h, w, K]`; else as `[K, h, w]`.
    pub channels_last: bool,
    /// `[C, K]`, row-major.
    pub weights: Box<[f32]>,
    /// `[C]`.
    pub bias: Box<[f32]>,
}

/// The parts that the places of a picture have in one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMap {
    /// `[h, w]`, row-major.
    pub values: Vec<f32>,
    /// Places across, `w`.
    pub width: usize,
    /// What the class has whatever is in the picture.
    pub bias: f32,
}

impl ClassMaps {
    /// The map of one class.
    ///
    /// * `maps`: what the network averages of the picture
    ///
    /// `None` for a class that there is not, and for maps of another size.
    pub fn of(&self, class: usize, maps: &[f32]) -> Option<ClassMap> {
        let (channels, places) = (self.channels, self.height * self.width);
        let row = self.weights.get(class.checked_mul(channels)?..)?.get(..channels)?;
        if maps.len() != channels.checked_mul(places)? || places == 0 {
            return None;
        }
        let mut sums = vec![0.0f64; places];
        if self.channels_last {
            for (sum, place) in sums.iter_mut().zip(maps.chunks_exact(channels)) {
                *sum = row.iter().zip(place).map(|(weight, value)| f64::from(*weight) * f64::from(*value)).sum();
            }
        } else {
            for (weight, map) in row.iter().zip(maps.chunks_exact(places)) {
                let weight = f64::from(*weight);
                sums.iter_mut().zip(map).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
        }
        let values = sums.into_iter().map(|sum| (sum / places as f64) as f32).collect();
        Some(ClassMap { values, width: self.width, bias: *self.bias.get(class)? })
    }
}

impl ClassMaps {
    /// What the last layer says of every class.
    ///
    /// * `maps`: as in [`ClassMaps::of`]
    ///
    /// `None` for maps of another size.
    pub fn logits(&self, maps: &[f32]) -> Option<Vec<f32>> {
        let (channels, places) = (self.channels, self.height * self.width);
        if maps.len() != channels.checked_mul(places)? || places == 0 {
            return None;
        }
        let step = if self.channels_last { 1 } else { places };
        let stride = if self.channels_last { channels } else { 1 };
        let mean = |channel: usize| {
            let values = maps.iter().skip(channel * step).step_by(stride).take(places);
            values.map(|value| f64::from(*value)).sum::<f64>() / places as f64
        };
        let means: Vec<f64> = (0..channels).map(mean).collect();
        let rows = self.weights.chunks_exact(channels.max(1)).zip(&self.bias);
        let logit = |(row, bias): (&[f32], &f32)| {
            let sum: f64 = row.iter().zip(&means).map(|(weight, mean)| f64::from(*weight) * mean).sum();
            (sum + f64::from(*bias)) as f32
        };
        Some(rows.map(logit).collect())
    }
}

impl ClassMap {
    /// What all places and the bias come to: what the last layer says of the class.
    pub fn logit(&self) -> f32 {
        (self.values.iter().map(|value| f64::from(*value)).sum::<f64>() + f64::from(self.bias)) as f32
    }

    /// The rows of the map, from the top.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(channels_last: bool) -> ClassMaps {
        let weights = [1.0, -2.0, 0.5, 4.0].into();
        ClassMaps { height: 1, width: 2, channels: 2, channels_last, weights, bias: [0.25, -1.0].into() }
    }

    #[test]
    fn each_place_has_its_part_and_together_they_are_the_logit() {
        // Two places, of which the maps say (1, 3) and (2, 5).
        let planes = layer(false).of(1, &[1.0, 2.0, 3.0, 5.0]).unwrap();
        assert_eq!(planes.values, [6.25, 10.5]);
        assert_eq!((planes.bias, planes.logit()), (-1.0, 15.75));
        assert_eq!(layer(true).of(1, &[1.0, 3.0, 2.0, 5.0]), Some(planes));
        assert_eq!(layer(false).of(0, &[1.0, 2.0, 3.0, 5.0]).unwrap().logit(), 0.25 + 1.5 - 8.0);
        for (channels_last, maps) in [(false, [1.0, 2.0, 3.0, 5.0]), (true, [1.0, 3.0, 2.0, 5.0])] {
            assert_eq!(layer(channels_last).logits(&maps), Some(vec![-6.25, 15.75]));
        }
    }

    #[test]
    fn what_is_of_another_network_has_no_map() {
        assert_eq!(layer(false).of(2, &[0.0; 4]), None);
        assert_eq!(layer(false).of(usize::MAX, &[0.0; 4]), None);
        assert_eq!(layer(true).of(0, &[0.0; 6]), None);
        assert_eq!(layer(true).logits(&[0.0; 6]), None);
    }
}
