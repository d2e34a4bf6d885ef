//! One look at a store, and what comes of it: the models there become folders here, laid out as any model folder is.
//!
//! ```text
//! list ─▶ sort ─▶ which versions are complete ─▶ settings and labels ─▶ which are picked ─▶ room ─▶ fetch ─▶ whole folders, by rename ─▶ what is gone goes
//! ```
//! Nothing here is removed unless the store has listed everything, and nothing that should be served before what replaces it is there. Whoever
//! follows the folder needs to know none of this.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use object_store::path::Path as Key;

use super::{
    completeness::{Complete, Completeness, print_of},
    error::StoreFault,
    fetch::{Fetcher, settle_in},
    listing::{StoreFiles, StoreListing, StoreModel, bytes},
    open::StoreClient,
    origin::Origin,
    room::{CachedVersion, folders, to_remove},
    url::StoreUrl,
};
use crate::{
    model::repository::version_number,
    staging::{StagedFolder, at},
    telemetry::StoreMeter,
};

/// A prefix with more objects is no model repository.
const MOST_OBJECTS: usize = 100_000;

/// After a failure a model is left alone for so long, then for twice as long, …
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// In the cache's folder, hidden from whoever follows it.
const PARTIAL_FOLDER: &str = ".partial";
const LOCK_FILE: &str = ".lock";
const LOOKED_FILE: &str = ".looked";

/// Makes a client, with the credentials as they are then.
pub type OpenStore = Box<dyn Fn() -> Result<StoreClient, StoreFault> + Send>;

/// Which of the versions of a store are wanted: gets the model's folder, with its settings, and what there is, ascending.
pub type PickVersions = Box<dyn Fn(&Path, &[u64]) -> Vec<u64> + Send>;

/// Whether a version of a model is served in this moment.
pub type IsServed = Box<dyn Fn(&str, u64) -> bool + Send>;

/// A store, and how it is mirrored.
pub struct MirrorOptions {
    /// Which.
    pub url: StoreUrl,
    /// How it is asked.
    pub open: OpenStore,
    /// The folder for its models.
    pub folder: PathBuf,
    /// The most bytes of models there.
    pub max_bytes: u64,
    /// How long a version without a manifest has to be unchanged.
    pub settle: Duration,
    /// What is wanted.
    pub pick: PickVersions,
    /// What must not go.
    pub is_served: IsServed,
    /// What is counted.
    pub meter: StoreMeter,
}

/// What was wrong with single models; the rest is as the store has it.
pub(super) type Troubles = BTreeMap<String, StoreFault>;

pub(super) struct Mirror {
    options: MirrorOptions,
    client: Option<StoreClient>,
    completeness: Completeness,
    resting: BTreeMap<String, Resting>,
    /// CachedVersion as long as this process fills the folder.
    lock: Option<File>,
    looked: bool,
}

struct Resting {
    print: u64,
    tries: u32,
    until: Instant,
}

/// A model whose settings are here, and what of it should be.
struct Prepared<'a> {
    name: &'a str,
    remote: &'a StoreModel,
    /// Where it is put together, if it is new.
    staged: Option<StagedFolder>,
    picked: Vec<Complete>,
}

impl Mirror {
    pub(super) fn new(options: MirrorOptions) -> Self {
        let completeness = Completeness::new(options.settle);
        Self { options, client: None, completeness, resting: BTreeMap::new(), lock: None, looked: false }
    }

    pub(super) fn options(&self) -> &MirrorOptions {
        &self.options
    }

    /// The next look makes a new client, with the credentials that there are then.
    pub(super) fn forget_credentials(&mut self) {
        self.client = None;
    }

    /// How many models are here, and for how long they have not been compared with the store.
    pub(super) fn cached(&self) -> (usize, Option<Duration>) {
        let looked = fs::metadata(self.options.folder.join(LOOKED_FILE)).and_then(|there| there.modified());
        (folders(&self.options.folder).len(), looked.ok().and_then(|looked| looked.elapsed().ok()))
    }

    /// Whether a model is left alone for a while.
    pub(super) fn resting(&self) -> impl Fn(&str) -> bool {
        |name| self.resting.contains_key(name)
    }

    /// Whether this process may fill the folder; else another one does.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn lock(&mut self) -> Result<bool, StoreFault> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let folder = &self.options.folder;
        fs::create_dir_all(folder.join(PARTIAL_FOLDER)).map_err(at(folder))?;
        let path = folder.join(LOCK_FILE);
        let file = File::options().create(true).append(true).open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(fs::TryLockError::WouldBlock) => return Ok(false),
            // A file system without locks: whoever shares it was told not to.
            Err(fs::TryLockError::Error(_)) => self.lock = Some(file),
        }
        // What a process left behind that was ended while it worked here.
        for entry in fs::read_dir(folder).map_err(at(folder))?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && ![PARTIAL_FOLDER, LOCK_FILE, LOOKED_FILE].contains(&&*name) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(true)
    }

    /// Looks at the store once, and fetches what is new.
    ///
    /// * `asked`: by somebody, who says that what is there is complete
    ///
    /// # Errors
    /// If the store cannot be had; then nothing is removed.
    pub(super) async fn look(&mut self, asked: bool, now: Instant) -> Result<Troubles, StoreFault> {
        let at_once = asked || !self.looked;
        let fetcher = self.fetcher()?;
        let listing = list(&fetcher, &self.options.url).await?;
        let root = self.options.folder.clone();
        let mut troubles = Troubles::new();
        let here = folders(&root);
        if listing.models.is_empty() && !here.is_empty() {
            let line = "there are no models any more, and what is cached is served on: put them back, or stop the server if that is meant";
            return Ok(Troubles::from([(String::new(), StoreFault::Content(line.to_owned()))]));
        }
        if let Some(odd) = listing.odd.first() {
            let line = format!(
                "{} objects have names that no folder can have, and are passed over: {odd:?} for instance",
                listing.odd.len()
            );
            troubles.insert(String::new(), StoreFault::Content(line));
        }
        self.completeness.forget_others(&listing.models);
        self.resting.retain(|name, _| listing.models.contains_key(name));

        let mut kept = BTreeSet::new();
        let mut prepared = Vec::new();
        for (name, remote) in &listing.models {
            let outcome = if !asked && self.is_resting(name, remote, now) {
                Ok(None)
            } else {
                self.prepare(&fetcher, name, remote, at_once, now).await
            };
            match outcome {
                Ok(Some(model)) => {
                    kept.extend(model.picked.iter().map(|complete| (name.clone(), complete.version)));
                    prepared.push(model);
                }
                Ok(None) => kept.extend(versions_in(&root.join(name)).map(|version| (name.clone(), version))),
                Err(fault) => {
                    kept.extend(versions_in(&root.join(name)).map(|version| (name.clone(), version)));
                    self.note_trouble(name, remote, fault, now, &mut troubles)?;
                }
            }
        }
        for model in prepared {
            let (name, remote) = (model.name, model.remote);
            match self.fill(&fetcher, model, &kept).await {
                Ok(()) => drop(self.resting.remove(name)),
                Err(fault) => self.note_trouble(name, remote, fault, now, &mut troubles)?,
            }
        }
        for (name, place) in here {
            if !listing.models.contains_key(&name) {
                tracing::info!(model = name, store = %self.options.url, "is gone from the store, and from the cache");
                self.remove(&place)?;
            }
        }
        // A smaller bound than last time.
        self.make_room("", 0, &kept)
            .or_else(|fault| if let StoreFault::Full { .. } = fault { Ok(()) } else { Err(fault) })?;
        if self.resting.is_empty() {
            fetcher.clear();
        }
        self.options.meter.note_cached(CachedVersion::of(&root).iter().map(|held| held.bytes).sum());
        let looked = root.join(LOOKED_FILE);
        let _ = File::create(&looked);
        self.looked = true;
        Ok(troubles)
    }

    fn fetcher(&mut self) -> Result<Fetcher, StoreFault> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert((self.options.open)()?).clone(),
        };
        let folder = self.options.folder.join(PARTIAL_FOLDER);
        Ok(Fetcher { client, kind: self.options.url.kind, folder, meter: self.options.meter.clone() })
    }

    /// Brings settings and labels here, and says what is wanted; `None` where nothing is complete yet.
    async fn prepare<'a>(
        &mut self,
        fetcher: &Fetcher,
        name: &'a str,
        remote: &'a StoreModel,
        at_once: bool,
        now: Instant,
    ) -> Result<Option<Prepared<'a>>, StoreFault> {
        let place = self.options.folder.join(name);
        let is_new = !place.exists();
        let mut complete = self.completeness.complete(fetcher, name, remote, at_once, now).await?;
        let own_counts = self.completeness.is_settled(name, None, print_of(&remote.own), at_once || is_new, now);
        if is_new && complete.is_empty() {
            return Ok(None);
        }
        let staged = if is_new { Some(StagedFolder::new(&self.options.folder, "model")?) } else { None };
        let folder = staged.as_ref().map_or(&*place, StagedFolder::path);
        if own_counts {
            bring_own(fetcher, folder, &remote.own).await?;
        }
        // One that is being overwritten in the store is still here as it was.
        let here = versions_in(folder).filter(|version| remote.versions.contains_key(version));
        let there: BTreeSet<u64> = complete.keys().copied().chain(here).collect();
        let picked = (self.options.pick)(folder, &there.into_iter().collect::<Vec<_>>());
        let picked = picked.into_iter().rev().filter_map(|version| complete.remove(&version)).collect();
        Ok(Some(Prepared { name, remote, staged, picked }))
    }

    /// Brings the versions of a model here, then removes those that are gone.
    async fn fill(
        &self,
        fetcher: &Fetcher,
        model: Prepared<'_>,
        kept: &BTreeSet<(String, u64)>,
    ) -> Result<(), StoreFault> {
        let Prepared { name, remote, staged, picked } = model;
        let place = self.options.folder.join(name);
        let folder = staged.as_ref().map_or(place.clone(), |staged| staged.path().to_owned());
        for Complete { version, files, digests } in picked {
            let origin = Origin::of(&files);
            let target = folder.join(version.to_string());
            if Origin::read(&target).as_ref() == Some(&origin) {
                continue;
            }
            let size = bytes(&files);
            self.make_room(&format!("{name}/{version}"), size, kept)?;
            let mut whole = Vec::new();
            for file in files.values() {
                let stated = digests.as_ref().and_then(|digests| digests.files.get(&file.name));
                whole.push((fetcher.fetch(file, stated).await?, &file.name));
            }
            let fresh = StagedFolder::new(&self.options.folder, "version")?;
            for (partial, name) in whole {
                settle_in(&partial, fresh.path(), name)?;
            }
            origin.write(fresh.path())?;
            let before = target.exists().then(|| self.put_aside(&target)).transpose()?;
            fresh.publish(&target)?;
            drop(before);
            tracing::info!(model = name, version, bytes = size, store = %self.options.url, "fetched");
        }
        if let Some(staged) = staged {
            staged.publish(&place)?;
        }
        for version in versions_in(&place) {
            if !remote.versions.contains_key(&version) {
                tracing::info!(model = name, version, store = %self.options.url, "is gone from the store, and from the cache");
                self.remove(&place.join(version.to_string()))?;
            }
        }
        Ok(())
    }

    fn is_resting(&self, name: &str, remote: &StoreModel, now: Instant) -> bool {
        self.resting.get(name).is_some_and(|resting| resting.until > now && resting.print == print_of_model(remote))
    }

    /// What is wrong with one model does not hold up the others.
    fn note_trouble(
        &mut self,
        name: &str,
        remote: &StoreModel,
        fault: StoreFault,
        now: Instant,
        troubles: &mut Troubles,
    ) -> Result<(), StoreFault> {
        if fault.is_of_the_store() {
            return Err(fault);
        }
        self.options.meter.note_failure();
        let print = print_of_model(remote);
        let tries = self.resting.get(name).filter(|resting| resting.print == print).map_or(0, |resting| resting.tries);
        let rest = FIRST_REST.saturating_mul(1 << tries.min(16)).min(LONGEST_REST);
        self.resting.insert(name.to_owned(), Resting { print, tries: tries + 1, until: now + rest });
        troubles.insert(name.to_owned(), fault);
        Ok(())
    }

    fn make_room(&self, name: &str, needed: u64, kept: &BTreeSet<(String, u64)>) -> Result<(), StoreFault> {
        let held = CachedVersion::of(&self.options.folder);
        let is_served = |held: &&CachedVersion| (self.options.is_served)(&held.model, held.version);
        let mut kept = kept.clone();
        kept.extend(held.iter().filter(is_served).map(|held| (held.model.clone(), held.version)));
        let limit = self.options.max_bytes;
        let Some(removed) = to_remove(&held, needed, limit, &kept) else {
            return Err(StoreFault::Full { name: name.to_owned(), needed, limit });
        };
        for (model, version) in removed {
            tracing::info!(model, version, "made room in the cache: nobody wants it any more");
            self.remove(&self.options.folder.join(&model).join(version.to_string()))?;
        }
        Ok(())
    }

    /// Gives a folder a hidden name; dropped, it is gone.
    fn put_aside(&self, place: &Path) -> Result<StagedFolder, StoreFault> {
        let aside = StagedFolder::new(&self.options.folder, "gone")?;
        let inner = aside.path().join("it");
        fs::rename(place, &inner).map_err(at(place))?;
        Ok(aside)
    }

    fn remove(&self, place: &Path) -> Result<(), StoreFault> {
        self.put_aside(place).map(drop)
    }
}

/// Everything below the URL.
async fn list(fetcher: &Fetcher, url: &StoreUrl) -> Result<StoreListing, StoreFault> {
    let prefix = Key::parse(&url.prefix).unwrap_or_default();
    let mut objects = fetcher.client.store.list(Some(&prefix).filter(|prefix| !prefix.is_root()));
    let mut found = Vec::new();
    while let Some(object) = objects.try_next().await.map_err(|error| StoreFault::of(url.kind, "", &error))? {
        if found.len() == MOST_OBJECTS {
            let line = format!("there are more than {MOST_OBJECTS} objects: point the URL at the prefix of the models");
            return Err(StoreFault::Settings(line));
        }
        found.push(object);
    }
    Ok(StoreListing::of(&prefix, found))
}

/// Brings the files beside the versions here, one rename each, once all are there.
async fn bring_own(fetcher: &Fetcher, folder: &Path, own: &StoreFiles) -> Result<(), StoreFault> {
    let (had, has) = (Origin::read(folder).unwrap_or_default(), Origin::of(own));
    if had == has {
        return Ok(());
    }
    let changed = own.values().filter(|file| had.files.get(&file.name) != has.files.get(&file.name));
    let mut whole = Vec::new();
    for file in changed {
        whole.push((fetcher.fetch(file, None).await?, &file.name));
    }
    for (partial, name) in whole {
        settle_in(&partial, folder, name)?;
    }
    for gone in had.files.keys().filter(|name| !has.files.contains_key(*name)) {
        let path = folder.join(gone);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error).into()),
            _ => {}
        }
    }
    has.write(folder)?;
    Ok(())
}

fn versions_in(folder: &Path) -> impl Iterator<Item = u64> {
    folders(folder).into_iter().filter_map(|(name, _)| version_number(&name))
}

fn print_of_model(remote: &StoreModel) -> u64 {
    let files = remote.versions.values().map(|version| print_of(&version.files));
    files.fold(print_of(&remote.own), |sum, print| sum.rotate_left(7) ^ print)
}

#[cfg(test)]
mod tests;
