//! The mean of what several models say, where they speak of the same classes. Pure.

use super::{Error, ErrorKind, ErrorSubject, Target, labels_difference, outputs};

/// Whether the models' probabilities have a mean: they tell the same classes apart, in the same order, and say how probable each is.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with the first difference.
pub(super) fn check(targets: &[&Target]) -> Result<(), Error> {
    for target in targets {
        if !outputs::gives_probabilities(target.model()) {
            let name = &target.model().name;
            return Err(refused(format!(
                "model `{name}` gives scores and no probabilities ([output] activation in its model.toml is `none`): leave it out"
            )));
        }
    }
    let Some((first, others)) = targets.split_first() else { return Ok(()) };
    let names = |target: &Target| (target.model().name.clone(), target.model().info.labels.clone());
    let (its, labels) = names(first);
    for other in others {
        let (name, others) = names(other);
        if let Some(difference) = labels_difference((&its, &labels), (&name, &others)) {
            return Err(refused(format!("{difference}: there is no mean of different classes, leave one of them out")));
        }
    }
    Ok(())
}

/// The mean of each class; the rows have one length.
pub(super) fn mean(rows: &[&[f32]]) -> Vec<f32> {
    let classes = rows.iter().map(|row| row.len()).min().unwrap_or_default();
    let sum = |class: usize| rows.iter().filter_map(|row| row.get(class)).map(|value| f64::from(*value)).sum::<f64>();
    (0..classes).map(|class| (sum(class) / rows.len() as f64) as f32).collect()
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("ensemble"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_each_class() {
        assert_eq!(mean(&[&[0.25, 0.75], &[0.75, 0.25], &[0.5, 0.5]]), [0.5, 0.5]);
        assert_eq!(mean(&[&[0.1, 0.9]]), [0.1, 0.9]);
    }
}
