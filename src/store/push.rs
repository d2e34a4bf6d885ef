//! A version put into a store, in an order in which no watcher sees half of it.
//!
//! ```text
//! weights and other files ─▶ settings and labels that are missing there ─▶ .manifest.json (sizes, SHA-256) ─▶ model.onnx
//! ```
//! A version without `model.onnx` counts for nobody, ours or another server's; one with a manifest counts for ours once everything is what the manifest
//! says. So does one that is overwritten: from its first changed file to its last, it is not what any manifest says. Interrupted at any moment, it is
//! done over.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart, path::Path as Key};
use sha2::{Digest, Sha256};

use super::{
    digests::{Digests, FileDigest, MANIFEST_FILE},
    error::{StoreError, StoreFault},
    listing::{StoreListing, StoreModel},
    open::StoreClient,
    url::StoreUrl,
};
use crate::{
    files,
    model::repository::{GRAPH_FILE, version_number},
};

/// A file that is larger goes in parts of this size, some of them on their way at a time.
const PART: usize = 16 << 20;
const SIDE_BY_SIDE: usize = 4;

/// A version on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalVersion {
    /// The model's folder's name.
    pub model: String,
    /// The version's.
    pub version: u64,
    folder: PathBuf,
}

/// What `push` may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Overwrite a version that is there.
    pub force: bool,
    /// Replace settings and labels that are there and differ.
    pub settings: bool,
}

/// What `push` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Bytes of the version.
    pub bytes: u64,
    /// Everything was there as it is here; nothing was written.
    pub was_there: bool,
    /// Files beside the versions that were written.
    pub written: Vec<String>,
    /// Files beside the versions that are different there, and were left so.
    pub left: Vec<String>,
}

/// Why a version cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It is no version.
    #[error(
        "{} is no version of a model: give MODELS/NAME/VERSION, a folder with {GRAPH_FILE} in it ({problem})",
        files::shown(path)
    )]
    NoVersion {
        /// What was given.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", files::shown(path))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file changed meanwhile.
    #[error("{} has changed while it was pushed: the version in the store counts for nobody; push it again", files::shown(.0))]
    Changed(PathBuf),
    /// It is there.
    #[error(
        "{0} is there already, and servers may have it: give this one another number, or overwrite it with --force"
    )]
    IsThere(StoreUrl),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LocalVersion {
    /// Takes `MODELS/NAME/VERSION` apart.
    ///
    /// # Errors
    /// [`PushError::NoVersion`].
    pub fn at(path: &Path) -> Result<Self, PushError> {
        let refused = |problem: &str| PushError::NoVersion { path: path.to_owned(), problem: problem.to_owned() };
        let folder = path.canonicalize().map_err(|error| refused(&error.to_string()))?;
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let version = name(&folder).and_then(|name| version_number(&name));
        let version = version.ok_or_else(|| refused("its name is no positive integer"))?;
        let model = folder.parent().and_then(name).filter(|name| !name.starts_with('.'));
        let model = model.ok_or_else(|| refused("the folder around it has no name that a model can have"))?;
        files::check(&folder.join(GRAPH_FILE)).map_err(|error| refused(&format!("{GRAPH_FILE}: {error}")))?;
        Ok(Self { model, version, folder })
    }

    /// The model's folder.
    pub fn model_folder(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).to_owned()
    }

    /// The graph.
    pub fn graph(&self) -> PathBuf {
        self.folder.join(GRAPH_FILE)
    }
}

/// Pushes a version.
///
/// * `url`: the repository, in which the model gets a folder of its name
/// * `progress`: hears bytes done and bytes in all
///
/// # Errors
/// [`PushError`]; then no server takes what is there for the version.
pub async fn push(
    client: &StoreClient,
    url: &StoreUrl,
    local: &LocalVersion,
    options: PushOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Pushed, PushError> {
    let target = Target { client, url, model: url.join(&local.model) };
    let digests = digests(&local.folder)?;
    let total = digests.files.values().map(|digest| digest.size).sum();
    let there = target.there(&local.model).await?;
    let mut pushed = Pushed { bytes: total, ..Pushed::default() };
    let version = there.versions.get(&local.version);
    let manifest = match version.and_then(|version| version.manifest.as_ref()) {
        Some(manifest) => Digests::parse(&target.read(&manifest.key).await?).ok(),
        None => None,
    };
    let holds = |(name, digest): (&String, &FileDigest)| {
        version.and_then(|version| version.files.get(name)).is_some_and(|file| file.size == digest.size)
    };
    if manifest.as_ref() == Some(&digests) && digests.files.iter().all(holds) && !options.force {
        pushed.was_there = true;
    } else if version.is_some_and(|version| version.files.contains_key(GRAPH_FILE)) && !options.force {
        return Err(PushError::IsThere(target.model.join(&local.version.to_string())));
    }
    let own = own_files(&local.model_folder())?;
    let mut done = 0;
    let folder = local.version.to_string();
    let mut put = async |name: &str, done: &mut u64| {
        let digest = &digests.files[name];
        let path = local.folder.join(name);
        target
            .put_file(&format!("{folder}/{name}"), &path, digest, &mut |bytes| progress(*done + bytes, total))
            .await?;
        *done += digest.size;
        Ok::<(), PushError>(())
    };
    if !pushed.was_there {
        for name in digests.files.keys().filter(|name| *name != GRAPH_FILE) {
            put(name, &mut done).await?;
        }
    }
    for (name, bytes) in own {
        let same = match there.own.get(&name) {
            Some(file) if file.size == bytes.len() as u64 => target.read(&file.key).await? == bytes,
            Some(_) => false,
            None => {
                target.put(&name, bytes.clone(), PutMode::Overwrite).await?;
                pushed.written.push(name);
                continue;
            }
        };
        if !same && options.settings {
            target.put(&name, bytes, PutMode::Overwrite).await?;
            pushed.written.push(name);
        } else if !same {
            pushed.left.push(name);
        }
    }
    if !pushed.was_there {
        // Somebody who pushes the same version in this moment is noticed here, where it is not done over.
        let is_new = version.is_none_or(|version| version.manifest.is_none());
        let mode = if is_new && !options.force { PutMode::Create } else { PutMode::Overwrite };
        target.put(&format!("{folder}/{MANIFEST_FILE}"), digests.text().into(), mode).await?;
        put(GRAPH_FILE, &mut done).await?;
    }
    Ok(pushed)
}

struct Target<'a> {
    client: &'a StoreClient,
    url: &'a StoreUrl,
    /// The model in the repository.
    model: StoreUrl,
}

impl Target<'_> {
    fn key(&self, name: &str) -> Key {
        Key::parse(&self.model.join(name).prefix).unwrap_or_default()
    }

    fn failed(&self, name: &str) -> impl Fn(object_store::Error) -> PushError {
        let url = self.url.clone();
        let name = name.to_owned();
        move |error| {
            let fault = match error {
                object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                    return PushError::IsThere(url.join(&name));
                }
                error => StoreFault::of(url.kind, "", &error),
            };
            PushError::Store(StoreError { url: url.clone(), fault: Box::new(fault) })
        }
    }

    /// What is there of the model.
    async fn there(&self, model: &str) -> Result<StoreModel, PushError> {
        let prefix = Key::parse(&self.model.prefix).unwrap_or_default();
        let objects: Vec<_> = self.client.store.list(Some(&prefix)).try_collect().await.map_err(self.failed(model))?;
        let root = Key::parse(&self.url.prefix).unwrap_or_default();
        Ok(StoreListing::of(&root, objects).models.remove(model).unwrap_or_default())
    }

    async fn read(&self, key: &Key) -> Result<Bytes, PushError> {
        let read = async { self.client.store.get(key).await?.bytes().await };
        read.await.map_err(self.failed(key.as_ref()))
    }

    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<(), PushError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let key = self.key(name);
        let put = self.client.store.put_opts(&key, PutPayload::from(bytes), options);
        put.await.map(drop).map_err(self.failed(&format!("{}/{name}", self.model.prefix)))
    }

    /// Puts a file, which must still be what it was.
    async fn put_file(
        &self,
        name: &str,
        path: &Path,
        digest: &FileDigest,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), PushError> {
        let unread = |cause| PushError::Read { path: path.to_owned(), cause };
        let mut file = files::open(path).map_err(unread)?;
        if digest.size <= PART as u64 {
            let bytes = read_part(&mut file).map_err(unread)?;
            if files::hex(&Sha256::digest(&bytes)) != digest.sha256 {
                return Err(PushError::Changed(path.to_owned()));
            }
            let size = bytes.len() as u64;
            self.put(name, bytes, PutMode::Overwrite).await?;
            progress(size);
            return Ok(());
        }
        let failed = self.failed(name);
        let upload = self.client.store.put_multipart(&self.key(name)).await.map_err(&failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let (mut done, mut hash) = (0, Sha256::new());
        let sent = async {
            loop {
                let part = read_part(&mut file).map_err(unread)?;
                if part.is_empty() {
                    return Ok(());
                }
                hash.update(&part);
                done += part.len() as u64;
                upload.wait_for_capacity(SIDE_BY_SIDE).await.map_err(&failed)?;
                upload.put(part);
                progress(done);
            }
        };
        let sent: Result<(), PushError> = sent.await;
        let sent = sent.and_then(|()| match files::hex(&hash.finalize()) == digest.sha256 {
            true => Ok(()),
            false => Err(PushError::Changed(path.to_owned())),
        });
        match sent {
            Ok(()) => upload.finish().await.map(drop).map_err(&failed),
            Err(error) => {
                // What was sent would lie there, paid for and seen by nobody.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }
}

fn read_part(file: &mut File) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(PART);
    file.take(PART as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// The files in a folder and below it, by their names there; hidden ones are no part of a model.
fn files_in(folder: &Path, passes: impl Fn(&str) -> bool) -> Result<BTreeMap<String, PathBuf>, PushError> {
    let is_seen = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_str().unwrap_or(".");
        entry.depth() == 0 || (!name.starts_with('.') && (entry.depth() > 1 || passes(name)))
    };
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).max_depth(4).into_iter().filter_entry(is_seen) {
        let entry = entry.map_err(|error| PushError::Read {
            path: error.path().unwrap_or(folder).to_owned(),
            cause: error.into_io_error().unwrap_or_else(|| io::Error::other("a link leads in a circle")),
        })?;
        let name = entry.path().strip_prefix(folder).ok().and_then(Path::to_str);
        if let (true, Some(name)) = (entry.file_type().is_file(), name) {
            found.insert(name.to_owned(), entry.path().to_owned());
        }
    }
    Ok(found)
}

fn digests(folder: &Path) -> Result<Digests, PushError> {
    let mut digests = Digests::default();
    for (name, path) in files_in(folder, |_| true)? {
        let unread = |cause| PushError::Read { path: path.clone(), cause };
        let mut file = files::open(&path).map_err(unread)?;
        let (mut size, mut hash) = (0, Sha256::new());
        loop {
            let part = read_part(&mut file).map_err(unread)?;
            if part.is_empty() {
                break;
            }
            size += part.len() as u64;
            hash.update(&part);
        }
        digests.files.insert(name, FileDigest { size, sha256: files::hex(&hash.finalize()) });
    }
    Ok(digests)
}

/// Settings and labels: what is beside the versions.
fn own_files(folder: &Path) -> Result<BTreeMap<String, Bytes>, PushError> {
    let read = |(name, path): (String, PathBuf)| match files::read(&path, 64 << 20) {
        Ok(bytes) => Ok((name, Bytes::from(bytes))),
        Err(cause) => Err(PushError::Read { path, cause }),
    };
    files_in(folder, |name| version_number(name).is_none())?.into_iter().map(read).collect()
}
