//! What this machine keeps about a model's file besides the file itself: what tuning chose for it, and how it was
//! quantized.

use std::{fs, path::Path, sync::Arc};

use serde::Serialize;

use super::{ConfigArgs, output::complain, table::labelled};
use crate::{
    inspect::Inspection,
    model::{GraphImage, Manifest, graph_digest, label_text, stated_labels},
    quantize::{Comparison, QuantizationReport},
    telemetry,
    tune::cache::{Cache, Entry},
};

/// Each part may be missing: the model was never tuned here, or was not made by `resnetd quantize`.
#[derive(Serialize)]
pub(super) struct Kept {
    /// What was measured for exactly this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tuned: Vec<Entry>,
    /// The report beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<QuantizationReport>,
    /// What becomes of a picture before the network; nothing where there is no model.toml.
    #[serde(skip)]
    pub(super) preparation: Vec<String>,
    /// The names of the classes; nothing where there are none.
    #[serde(skip)]
    pub(super) labels: Vec<Arc<str>>,
}

impl Kept {
    /// Looks all of it up. A damaged file is complained of on stderr and left out.
    pub(super) fn of(file: &Path, inspection: &Inspection, config: ConfigArgs) -> anyhow::Result<Self> {
        let config = config.load_quiet("warn")?;
        telemetry::start_log(&config.log)?;
        // Settings as the server would read them: DIR/NAME/model.toml for the file DIR/NAME/VERSION/model.onnx.
        let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let folder = place.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let (mut preparation, mut labels) = (Vec::new(), None);
        let settings = match Manifest::read(folder, &config.batching, &config.runtime) {
            Ok(manifest) => {
                // A file that lies anywhere has no settings, and a folder of models that says nothing means the defaults.
                if folder.join("model.toml").is_file() {
                    let image = inspection.input.as_ref().map_or_else(GraphImage::default, GraphImage::from);
                    preparation = manifest.input.steps(&image);
                    let text = label_text(folder, manifest.output.labels.as_deref());
                    labels = text.ok().flatten().and_then(|text| stated_labels(&text));
                }
                manifest.runtime
            }
            Err(error) => {
                complain(&format!("warning: {error}"));
                config.runtime
            }
        };
        let tuned = Cache::at(Path::new(&settings.tune_cache)).of_model(&graph_digest(file));
        let quantization = QuantizationReport::beside(file).unwrap_or_else(|error| {
            complain(&format!("warning: {error}"));
            None
        });
        let labels = labels.map_or_else(Vec::new, |labels| labels.to_vec());
        Ok(Self { tuned, quantization, preparation, labels })
    }

    /// Rows for the table.
    pub(super) fn rows(&self, inspection: &Inspection) -> Vec<(&'static str, String)> {
        let int8 = inspection.precision.starts_with("int8");
        let tuned = self.tuned.iter().flat_map(|entry| tuned(entry, int8));
        let mut rows: Vec<_> = labelled("tuned", tuned).collect();
        rows.extend(labelled("quantized", self.quantization.iter().flat_map(quantized)));
        rows
    }
}

fn tuned(Entry { key, found, taken }: &Entry, int8: bool) -> Vec<String> {
    let chosen = &found.chosen;
    let engine = chosen.candidate.engine;
    let precision = if int8 { "int8" } else { engine.precision.name() };
    let answers = match chosen.drift {
        Some(drift) => format!(
            "a probability moves by {:.4} at most, the top class {}",
            drift.probability,
            if drift.same_top { "stays" } else { "changes" }
        ),
        None => "its answers are what others are compared with".to_owned(),
    };
    // Only the version is shown; the names and sizes of the plugins' files behind it are in the JSON.
    let library = key.libraries.split(" lib").next().unwrap_or_default();
    let mut rows = vec![
        format!(
            "for {}: {} {precision}, {}, batches of up to {}, {:.1} images/s",
            key.goal, engine.provider, chosen.candidate.shape, chosen.batch_size, chosen.images_per_second
        ),
        answers,
        found.reason.clone(),
        format!("on {}, {} cores, by resnetd {} with {}", key.processor, key.cores, key.resnetd, library.trim()),
    ];
    rows.extend(taken.as_ref().map(|taken| format!("measured {taken}")));
    rows
}

fn quantized(report: &QuantizationReport) -> Vec<String> {
    let Comparison { agreement_percent, mean_drift, images, .. } = report.answers;
    let mut rows = vec![format!(
        "from version {}, {}-bit weights, {} calibration images",
        report.source_version, report.weight_bits, report.calibration_images
    )];
    if let (Some(fp32), Some(int8)) = (report.answers.top1_fp32_percent, report.answers.top1_int8_percent) {
        rows.push(format!("top-1 {int8:.2} %, fp32 {fp32:.2} %, of {} images", report.answers.labelled));
    }
    rows.push(format!(
        "the top class stays for {agreement_percent:.2} % of {images} {} images, probabilities move by {mean_drift:.4}",
        report.judged_on
    ));
    if !report.kept_fp32.is_empty() {
        rows.push(format!("in fp32 stay {}", report.kept_fp32.join(", ")));
    }
    rows.extend(report.objection.iter().map(|objection| format!("its answers do not hold: {objection}")));
    rows
}
