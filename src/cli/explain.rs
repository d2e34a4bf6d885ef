//! `resnetd explain`: which places of pictures speak for a class, drawn and in numbers, without a server.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use futures_util::{StreamExt, stream};

use super::{
    ConfigArgs,
    images::FoundImages,
    offline::{Offline, settings},
    output::complain,
};
use crate::{
    files,
    server::{explained_as_json, explained_as_png},
    service::{ExplainCrops, ExplainRequest, ExplainView, Explained, Priority, TraceContext},
    staging,
};

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Image files, and folders that are searched for images
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The model, where there are several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// A class by its label or index; may be given several times [default: the most probable]
    #[arg(long, value_name = "CLASS")]
    class: Vec<String>,
    /// Where no class is given: so many of the most probable [default: 1]
    #[arg(long, value_name = "K", conflicts_with = "class")]
    top_k: Option<usize>,
    /// How often each picture is looked at: 1, or 10, its corners and its centre and their mirror images; a drawing shows all of it then
    #[arg(long, value_name = "1|10", default_value = "1", value_parser = crops)]
    crops: ExplainCrops,
    /// What of a picture is drawn: what the network saw, or all of it with that marked
    #[arg(long, value_enum, default_value = "crop")]
    view: View,
    /// The folder that gets NAME.png and NAME.json of each picture; made if it is not there
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum View {
    Crop,
    Original,
}

fn crops(number: &str) -> Result<ExplainCrops, String> {
    let refused = || ExplainCrops::refused(number);
    number.parse().map_err(|_| refused()).and_then(ExplainCrops::numbered).map_err(|error| error.message)
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let config = settings(&args.config)?;
    let FoundImages { files, passed_over } = FoundImages::among(&args.paths)?;
    let offline = Offline::start(config, args.model.as_deref())?;
    fs::create_dir_all(&args.output).with_context(|| args.output.display().to_string())?;
    for (path, reason) in &passed_over {
        complain(&format!("{}: {reason}", files::shown(path)));
    }
    let names = names(&files);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let failed = tokio.block_on(async {
        let mut answers = stream::iter(files.iter().zip(&names))
            .map(async |(file, name)| (file, name, explain(&offline, file, args).await))
            .buffered(offline.concurrency());
        let mut failed = passed_over.len();
        while let Some((file, name, answer)) = answers.next().await {
            if let Err(error) = answer.and_then(|explained| write(&args.output, name, &explained)) {
                failed += 1;
                complain(&format!("{}: {error:#}", files::shown(file)));
            }
        }
        failed
    });
    if failed > 0 {
        bail!("{failed} of {} files could not be explained; each is named above", files.len() + passed_over.len());
    }
    Ok(())
}

async fn explain(offline: &Offline, file: &Path, args: &ExplainArgs) -> anyhow::Result<Explained> {
    let picture = offline.read(file)?;
    let Offline { service, model, .. } = offline;
    let request = ExplainRequest {
        target: service.target(&model.name, Some(model.version))?,
        pictures: vec![picture.into()],
        classes: args.class.clone(),
        top_k: args.top_k,
        crops: args.crops,
        view: match args.view {
            View::Crop => ExplainView::Crop,
            View::Original => ExplainView::Original,
        },
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: service.open_charge()?,
        trace: TraceContext::new(file.to_string_lossy()),
    };
    Ok(service.explain(request).await?)
}

fn write(folder: &Path, name: &str, explained: &Explained) -> anyhow::Result<()> {
    let files = [("png", explained_as_png(explained)?), ("json", explained_as_json(explained))];
    for (extension, bytes) in files {
        let path = folder.join(format!("{name}.{extension}"));
        staging::write_file(&path, |file| file.write_all(&bytes))?;
    }
    Ok(())
}

/// What the files of each picture are called: as the picture, and with a number where two are called alike.
fn names(files: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut name = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut name = stem.clone();
        while !taken.insert(name.clone()) {
            name = numbered.next().unwrap_or_default();
        }
        name
    };
    files.iter().map(&mut name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_are_called_alike_get_numbers() {
        let files = ["a/cat.jpg", "b/cat.png", "cat-2.webp", "c/cat", "dog.jpg"].map(PathBuf::from);
        assert_eq!(names(&files), ["cat", "cat-2", "cat-2-2", "cat-3", "dog"]);
    }
}
