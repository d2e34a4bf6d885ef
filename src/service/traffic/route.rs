//! A model's `[traffic]` in force, and the way of each request to the versions that answer now.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use super::{
    course::{Course, Side},
    guard::{Guard, Stable, stable},
    guarded::Guarded,
    keys::SplitKeys,
    mirror::Mirroring,
    split::{Even, Shares, place_of},
    view::{ShadowView, TrafficView},
};
use crate::{
    model::{TrafficSection, VersionName},
    service::served::Served,
    telemetry::TrafficFamilies,
};

/// What outlives the snapshots: from one change of the settings to the next.
pub(in crate::service) struct Traffic {
    section: TrafficSection,
    /// As headers are looked up.
    key: Option<Arc<str>>,
    names: Vec<(VersionName, f64)>,
    shares: Shares,
    even: Even,
    began: Instant,
    stable: Option<Stable>,
    /// By the number that a version has as it is served: loaded anew, it begins anew.
    guards: Mutex<BTreeMap<u64, Arc<Guarded>>>,
    /// Whether it was said of each share that its version does not answer.
    told: Vec<AtomicBool>,
    slots: Arc<Semaphore>,
}

impl Traffic {
    pub(in crate::service) fn new(section: &TrafficSection) -> Self {
        let names = section.shares();
        let percents: Vec<_> = names.iter().map(|(_, percent)| *percent).collect();
        Self {
            section: section.clone(),
            key: section.key.as_ref().map(|key| key.to_ascii_lowercase().into()),
            shares: Shares::new(&percents),
            even: Even::default(),
            began: Instant::now(),
            stable: section.guard.as_ref().map(stable),
            guards: Mutex::default(),
            told: names.iter().map(|_| AtomicBool::new(false)).collect(),
            // One session of the shadow is busy at most, however many it has.
            slots: Arc::new(Semaphore::new(1)),
            names,
        }
    }

    pub(in crate::service) fn section(&self) -> &TrafficSection {
        &self.section
    }

    /// The header that decides.
    pub(in crate::service) fn key(&self) -> Option<&Arc<str>> {
        self.key.as_ref()
    }

    fn guarded(&self, served: &Served, families: &Arc<TrafficFamilies>) -> Option<Arc<Guarded>> {
        let (rules, stable) = (self.section.guard.as_ref()?, self.stable.as_ref()?);
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        let guarded = guards.entry(served.number).or_insert_with(|| {
            Arc::new(Guarded {
                guard: Guard::new(rules, stable),
                model: served.model.name.clone(),
                version: served.model.version,
                began: self.began,
                families: families.clone(),
            })
        });
        Some(guarded.clone())
    }

    /// What has turned a version back that does not answer now.
    fn broken(&self, version: u64) -> Option<Arc<Guarded>> {
        let guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.values().find(|guarded| guarded.version == version && guarded.guard.broken().is_some()).cloned()
    }
}

/// The ways of one model's requests, for the versions that answer in one snapshot.
pub(in crate::service) struct Routing {
    traffic: Arc<Traffic>,
    /// The versions that are named, and so none that would be the default.
    named: Vec<u64>,
    default: Option<Way>,
    lanes: Vec<Lane>,
}

/// A version that answers, and what is to be seen of its requests.
type Way = (Arc<Served>, Arc<Course>);

struct Lane {
    way: Option<Way>,
    /// How its requests go to the default version where it does not answer.
    fallback: Option<Arc<Course>>,
    guarded: Option<Arc<Guarded>>,
    fallbacks: Counter,
}

impl Routing {
    /// * `served`: the versions of the model that answer, the highest last
    /// * `labels`: where labels point
    pub(in crate::service) fn of(
        traffic: &Arc<Traffic>,
        model: &Arc<str>,
        served: &[&Arc<Served>],
        labels: &BTreeMap<String, u64>,
        families: &Arc<TrafficFamilies>,
    ) -> Self {
        let named = traffic.section.versions(labels);
        let find = |name: &VersionName| {
            let number = name.number(labels)?;
            served.iter().find(|served| served.model.version == number).map(|served| Arc::clone(served))
        };
        // One that was turned back and unloaded since stays so: loaded on demand, nobody would ask for it, and it would come back.
        let is_kept = |number: u64, guarded: &Guarded| {
            served.iter().any(|served| served.number == number)
                || guarded.guard.broken().is_some()
                    && !served.iter().any(|served| served.model.version == guarded.version)
        };
        let mut guards = traffic.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.retain(|number, guarded| is_kept(*number, guarded));
        drop(guards);
        let missing = |name: &VersionName| name.number(labels).filter(|version| traffic.broken(*version).is_none());
        let default = served.iter().rev().find(|served| !named.contains(&served.model.version)).or(served.last());
        let default = default.map(|served| {
            let wanted = traffic.section.shadow.as_ref();
            let shadow = wanted.and_then(find);
            let missing = wanted.filter(|_| shadow.is_none()).and_then(missing);
            let shadow = shadow.filter(|shadow| shadow.number != served.number);
            let mirror = shadow.map(|shadow| Mirroring {
                metrics: families.shadow(model, shadow.model.version),
                guarded: traffic.guarded(&shadow, families),
                of: Arc::clone(served),
                slots: traffic.slots.clone(),
                shadow,
            });
            let side = traffic.stable.clone().map(|stable| Side::Stable(stable, traffic.began));
            (Arc::clone(served), Arc::new(Course { side, mirror: mirror.map(Arc::new), missing }))
        });
        let lane = |(name, _): &(VersionName, f64)| {
            let served = find(name);
            let guarded = match &served {
                Some(served) => traffic.guarded(served, families),
                None => name.number(labels).and_then(|version| traffic.broken(version)),
            };
            let fallback = default.as_ref().filter(|_| served.is_none()).map(|(_, course)| {
                let side = traffic.stable.clone().map(|stable| Side::Stable(stable, traffic.began));
                Arc::new(Course { side, mirror: course.mirror.clone(), missing: missing(name) })
            });
            let way = served.map(|served| {
                let side = guarded.clone().map(Side::Canary);
                (served, Arc::new(Course { side, mirror: None, missing: None }))
            });
            Lane { way, fallback, guarded, fallbacks: families.fallbacks(model, &name.to_string()) }
        };
        let lanes = traffic.names.iter().map(lane).collect();
        Self { traffic: traffic.clone(), named, default, lanes }
    }

    /// Whether a version is none of those that requests get by default.
    pub(in crate::service) fn names(&self, version: u64) -> bool {
        self.named.contains(&version)
    }

    /// How often a version is held here, whether or not a request uses it.
    pub(in crate::service) fn holds(&self, served: &Arc<Served>) -> usize {
        let is_it = |held: &Arc<Served>| usize::from(Arc::ptr_eq(held, served));
        let in_lanes: usize = self.lanes.iter().filter_map(|lane| lane.way.as_ref()).map(|way| is_it(&way.0)).sum();
        let in_default = self.default.as_ref().map_or(0, |(held, course)| {
            is_it(held) + course.mirror.as_ref().map_or(0, |mirror| is_it(&mirror.of) + is_it(&mirror.shadow))
        });
        in_lanes + in_default
    }

    /// The version that one request gets which names none; `None` where none answers.
    pub(in crate::service) fn way(&self, model: &str, keys: &SplitKeys) -> Option<Way> {
        let key = self.traffic.key.as_ref().and_then(|name| keys.get(name));
        let place = || key.map_or_else(|| self.traffic.even.next(), |key| place_of(model, key));
        let index = if self.lanes.is_empty() { None } else { self.traffic.shares.at(place()) };
        let Some((index, lane)) = index.and_then(|index| Some((index, self.lanes.get(index)?))) else {
            return self.default.clone();
        };
        if lane.guarded.as_ref().is_some_and(|guarded| guarded.guard.broken().is_some()) {
            return self.default.clone();
        }
        let told = self.traffic.told.get(index);
        if let Some(way) = &lane.way {
            if told.is_some_and(|told| told.load(Ordering::Relaxed)) {
                told.inspect(|told| told.store(false, Ordering::Relaxed));
            }
            return Some(way.clone());
        }
        lane.fallbacks.inc();
        if let (Some((name, percent)), Some((default, _))) = (self.traffic.names.get(index), &self.default)
            && told.is_some_and(|told| !told.swap(true, Ordering::Relaxed))
        {
            tracing::warn!(
                model,
                "version {name} does not answer, and version {} gets its {percent} percent of the requests until it does; GET /v1/models \
                 says where it stands",
                default.model.version
            );
        }
        let (default, course) = self.default.clone()?;
        Some((default, lane.fallback.clone().unwrap_or(course)))
    }

    /// Why a version gets no requests any more; `None` where it does.
    pub(in crate::service) fn turned_back(&self, version: u64) -> Option<String> {
        let guards = self.traffic.guards.lock().unwrap_or_else(PoisonError::into_inner);
        let guarded = guards.values().find(|guarded| guarded.version == version)?;
        Some(guarded.guard.broken()?.to_string())
    }

    /// What is to be told of a version's part; `None` where it has none.
    pub(in crate::service) fn view(&self, version: u64) -> Option<TrafficView> {
        if !self.names(version) {
            return None;
        }
        let is_it = |way: &&Way| way.0.model.version == version;
        let of_lane =
            |(lane, (_, percent)): (&Lane, &(VersionName, f64))| lane.way.as_ref().filter(is_it).map(|_| *percent);
        let shares: Vec<f64> = self.lanes.iter().zip(&self.traffic.names).filter_map(of_lane).collect();
        let mirror = self.default.as_ref().and_then(|(_, course)| course.mirror.as_ref());
        let mirror = mirror.filter(|mirror| mirror.shadow.model.version == version);
        Some(TrafficView {
            share_percent: (!shares.is_empty()).then(|| shares.iter().sum()),
            turned_back: self.turned_back(version),
            shadow: mirror.map(|mirror| {
                let (outcomes, agreements) = mirror.metrics.counts();
                ShadowView { outcomes, agreements }
            }),
        })
    }
}
