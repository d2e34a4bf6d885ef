//! The first runs of a model's sessions: the first run of a batch size is slow and should meet no request, and what comes out
//! must be what a classifier gives, a row of classes for each image, whatever the batch.

use super::{ModelError, warm_up::WarmUpImages};
use crate::{
    runtime::{Executor, OrtExecutor, side_by_side},
    tensor::Logits,
};

/// What the first runs have shown.
#[derive(Debug)]
pub(super) struct FirstRuns {
    /// What the network says of the first image.
    pub(super) row: Vec<f32>,
    /// Why a run may have one image only, although the graph leaves the batch free; `None` where every size of batch works.
    pub(super) one_at_a_time: Option<String>,
}

/// How the first runs are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    /// All sessions side by side, rather than one after the other.
    pub(super) at_once: bool,
    /// One image is run once more: what the engine keeps of a first run is used in the second, as in every request.
    pub(super) again: bool,
    /// What another session of the same graph and engine has said of the first image: where there are larger batches to run, that image
    /// is not run alone once more.
    pub(super) shown: Option<&'a [f32]>,
}

/// Runs every session once with each of `sizes`, which are ascending and begin with 1; with 1 not where `manner` says so.
///
/// * `fixed_batch`: what the graph fixes; it runs every batch as one of that size
///
/// # Errors
/// [`ModelError`] if what comes out of a single image is no row of classes, or no finite numbers.
pub(super) fn first_runs<E: Executor>(
    executors: &mut [E],
    images: &mut WarmUpImages,
    sizes: &[usize],
    fixed_batch: Option<usize>,
    manner: Manner<'_>,
) -> Result<FirstRuns, ModelError> {
    let runs: Vec<_> = if manner.at_once && executors.len() > 1 {
        let of_one = |executor: &mut E| runs_of_one(executor, &mut images.clone(), sizes, fixed_batch, manner);
        side_by_side("warm up", executors, of_one)?.into_iter().collect::<Result<_, _>>()?
    } else {
        let of_one = |executor| runs_of_one(executor, images, sizes, fixed_batch, manner);
        executors.iter_mut().map(of_one).collect::<Result<_, _>>()?
    };
    let together = |all: FirstRuns, one: FirstRuns| FirstRuns {
        row: one.row,
        one_at_a_time: all.one_at_a_time.or(one.one_at_a_time),
    };
    Ok(runs.into_iter().reduce(together).unwrap_or(FirstRuns { row: Vec::new(), one_at_a_time: None }))
}

fn runs_of_one(
    executor: &mut impl Executor,
    images: &mut WarmUpImages,
    sizes: &[usize],
    fixed_batch: Option<usize>,
    manner: Manner<'_>,
) -> Result<FirstRuns, ModelError> {
    let mut logits = Logits::default();
    let larger: Vec<_> = sizes.iter().copied().chain(fixed_batch).filter(|size| *size > 1).collect();
    let row = match manner.shown {
        Some(row) if !larger.is_empty() => row.to_vec(),
        _ => {
            let row = one_image(executor, images, &mut logits)?;
            if manner.again { one_image(executor, images, &mut logits)? } else { row }
        }
    };
    for size in larger {
        let reason = match batch(executor, images, &mut logits, size, row.len()) {
            Ok(()) => continue,
            Err(ModelError::WarmUp(cause)) if fixed_batch.is_none() => {
                format!("a batch of {size} images fails: {cause}")
            }
            Err(ModelError::Rows { got, .. }) if fixed_batch.is_none() => {
                format!("a batch of {size} images gives {got}")
            }
            Err(error) => return Err(error),
        };
        // It has not run yet as it will be run.
        let row = if manner.shown.is_some() { one_image(executor, images, &mut logits)? } else { row };
        return Ok(FirstRuns { row, one_at_a_time: Some(reason) });
    }
    Ok(FirstRuns { row, one_at_a_time: None })
}

/// How many features an image has, from a run of one image.
///
/// # Errors
/// Why there are none, as the end of a sentence. The model is served without them.
pub(super) fn features(executor: &mut OrtExecutor, images: &mut WarmUpImages) -> Result<usize, String> {
    if let Some(reason) = executor.lacks_features() {
        return Err(reason.to_owned());
    }
    let (mut logits, mut features) = (Logits::default(), Logits::default());
    let run = images.batch(0, 1).and_then(|batch| executor.run_with_features(batch, &mut logits, &mut features));
    run.map_err(|error| format!("a run with them fails: {error}"))?;
    counted(&features)
}

/// The same of what a run has given.
pub(super) fn counted(features: &Logits) -> Result<usize, String> {
    match features.rows().next() {
        Some(row) if row.iter().all(|value| value.is_finite()) => Ok(row.len()),
        _ => Err("they are no finite numbers".to_owned()),
    }
}

/// Runs one image; gives its row.
fn one_image(
    executor: &mut impl Executor,
    images: &mut WarmUpImages,
    logits: &mut Logits,
) -> Result<Vec<f32>, ModelError> {
    executor.run(images.batch(0, 1)?, logits)?;
    let Some(row) = logits.rows().next() else { return Err(ModelError::NoClasses) };
    check_finite(row)?;
    Ok(row.to_vec())
}

fn batch(
    executor: &mut impl Executor,
    images: &mut WarmUpImages,
    logits: &mut Logits,
    size: usize,
    classes: usize,
) -> Result<(), ModelError> {
    executor.run(images.batch(0, size)?, logits)?;
    let (rows, width) = (logits.rows().len(), logits.rows().next().map_or(0, <[f32]>::len));
    if (rows, width) != (size, classes) {
        return Err(ModelError::Rows { images: size, classes, got: format!("{rows} x {width} numbers") });
    }
    logits.rows().try_for_each(check_finite)
}

/// A network that overflows for a photo says nothing about it: no probability can be made of infinity, and a class that is
/// masked with -inf looks the same as one that overflowed.
fn check_finite(row: &[f32]) -> Result<(), ModelError> {
    match row.iter().position(|value| !value.is_finite()) {
        Some(class) => Err(ModelError::NotNumbers { class, value: row[class] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        preprocess::Spec,
        runtime::RunError,
        tensor::{Batch, ColorOrder, Layout, Normalizer},
    };

    const TWICE: Manner<'_> = Manner { at_once: false, again: true, shown: None };

    /// A network whose output is this for a batch of `n`: so many rows of so many numbers, all of them `value`.
    struct Shaped {
        shape: fn(usize) -> (usize, usize),
        value: f32,
        runs: Vec<usize>,
    }

    impl Executor for Shaped {
        fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
            self.runs.push(batch.len());
            let (rows, classes) = (self.shape)(batch.len());
            if rows > 100 {
                return Err(RunError::Engine("cannot reshape".to_owned()));
            }
            logits.fill(classes, &vec![self.value; rows * classes]);
            Ok(())
        }
    }

    fn shaped(shape: fn(usize) -> (usize, usize)) -> Shaped {
        Shaped { shape, value: 1.0, runs: Vec::new() }
    }

    fn run(network: &mut Shaped, fixed_batch: Option<usize>) -> Result<FirstRuns, ModelError> {
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
        let mut images = WarmUpImages::new(&Spec::default(), normalizer, (4, 4));
        let sizes = if fixed_batch.is_some() { vec![1] } else { vec![1, 8] };
        first_runs(std::slice::from_mut(network), &mut images, &sizes, fixed_batch, TWICE)
    }

    #[test]
    fn a_row_of_classes_for_each_image_is_what_is_served() {
        let mut network = shaped(|images| (images, 3));
        let runs = run(&mut network, None).unwrap();
        assert_eq!((runs.row, runs.one_at_a_time), (vec![1.0; 3], None));
        assert_eq!(network.runs, [1, 1, 8]);
    }

    #[test]
    fn sessions_side_by_side_are_all_run_and_one_that_takes_no_batch_speaks_for_all() {
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
        let mut images = WarmUpImages::new(&Spec::default(), normalizer, (4, 4));
        let mut networks =
            [shaped(|images| (images, 3)), shaped(|images| (1, 3 * images)), shaped(|images| (images, 3))];
        let at_once = Manner { at_once: true, again: false, shown: None };
        let runs = first_runs(&mut networks, &mut images, &[1, 2], None, at_once).unwrap();
        assert_eq!(networks.map(|network| network.runs), [[1, 2], [1, 2], [1, 2]]);
        assert_eq!(runs.one_at_a_time.as_deref(), Some("a batch of 2 images gives 1 x 6 numbers"));
        let mut networks = [shaped(|images| (images, 3)), shaped(|_| (0, 3))];
        let refusal = first_runs(&mut networks, &mut images, &[1, 2], None, at_once).unwrap_err();
        assert!(matches!(refusal, ModelError::NoClasses), "{refusal}");
    }

    #[test]
    fn what_another_session_has_shown_of_one_image_is_not_run_again_where_there_are_batches() {
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
        let mut images = WarmUpImages::new(&Spec::default(), normalizer, (4, 4));
        let manner = Manner { at_once: true, again: false, shown: Some(&[2.0; 3]) };
        let mut networks = [shaped(|images| (images, 3)), shaped(|images| (images, 3))];
        let runs = first_runs(&mut networks, &mut images, &[1, 2], None, manner).unwrap();
        assert_eq!((runs.row, runs.one_at_a_time), (vec![2.0; 3], None));
        assert_eq!(networks.map(|network| network.runs), [[2], [2]]);
        let mut taking_one = shaped(|images| (images, 3));
        first_runs(std::slice::from_mut(&mut taking_one), &mut images, &[1], None, manner).unwrap();
        assert_eq!(taking_one.runs, [1], "every session is run");
        let mut others = [shaped(|images| (images, 4))];
        let reason = first_runs(&mut others, &mut images, &[1, 2], None, manner).unwrap().one_at_a_time;
        assert_eq!(reason.as_deref(), Some("a batch of 2 images gives 2 x 4 numbers"));
        assert_eq!(others[0].runs, [2, 1], "as it will be run");
    }

    #[test]
    fn a_network_that_runs_once_and_never_again_is_refused() {
        struct Once(bool);
        impl Executor for Once {
            fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(RunError::Engine("the output is its own source".to_owned()));
                }
                logits.fill(3, &vec![1.0; 3 * batch.len()]);
                Ok(())
            }
        }
        let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
        let mut images = WarmUpImages::new(&Spec::default(), normalizer, (4, 4));
        let refusal = first_runs(&mut [Once(false)], &mut images, &[1], None, TWICE).unwrap_err().to_string();
        assert!(refusal.contains("its own source"), "{refusal}");
    }

    #[test]
    fn a_graph_with_a_batch_of_one_inside_runs_one_image_at_a_time() {
        let reshaped = run(&mut shaped(|images| (1, 3 * images)), None).unwrap();
        assert_eq!(reshaped.row.len(), 3);
        assert_eq!(reshaped.one_at_a_time.as_deref(), Some("a batch of 8 images gives 1 x 24 numbers"));
        let failing = run(&mut shaped(|images| (if images == 1 { 1 } else { 101 }, 3)), None).unwrap();
        assert!(failing.one_at_a_time.is_some_and(|reason| reason.contains("cannot reshape")));
    }

    #[test]
    fn a_fixed_batch_whose_rows_are_not_its_images_is_refused() {
        let refusal = run(&mut shaped(|_| (1, 24)), Some(8)).unwrap_err().to_string();
        assert!(refusal.contains("8 images") && refusal.contains("1 x 24"), "{refusal}");
        assert!(run(&mut shaped(|images| (images, 3)), Some(8)).is_ok());
    }

    #[test]
    fn what_has_no_classes_is_refused() {
        for shape in [|images| (images, 0), |_| (0, 3)] {
            let refusal = run(&mut shaped(shape), None).unwrap_err();
            assert!(matches!(refusal, ModelError::NoClasses), "{refusal}");
        }
    }

    #[test]
    fn answers_that_are_not_finite_are_refused_with_the_class() {
        for (value, name) in [(f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf"), (f32::NAN, "NaN")] {
            let refusal = run(&mut Shaped { value, ..shaped(|images| (images, 3)) }, None).unwrap_err().to_string();
            assert!(refusal.contains(&format!("class 0 is {name}")), "{refusal}");
        }
    }
}
