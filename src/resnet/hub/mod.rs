//! Files of the Hugging Face hub: fetched once, continued after an interruption, and checked against the hub's SHA-256.
//!
//! ```text
//! HEAD resolve/… ─▶ Stated (sha256, size, commit) ─▶ cached? ─▶ GET, Range: from where it broke off ─▶ SHA-256 ─▶ cache
//! ```
//! The cache has the layout of the hub's own tools (`cache`): each finds what the other has fetched. The token goes to
//! the hub alone, never to the store that it redirects to.
//!
//! `hf-hub` 1.0, the hub's own crate, was considered: it starts every interrupted transfer over, does not check what it
//! got, and brings 150 crates and CMake with it. Must not know what is in the files.

mod cache;
pub mod catalogue;
mod error;
mod trust;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Response};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use cache::{HubCache, Incomplete, is_hexadecimal};
pub use error::HubError;

/// Where the hub is unless `HF_ENDPOINT` says otherwise.
const PUBLIC_ENDPOINT: &str = "https://huggingface.co";

/// A renamed repository redirects once; a mirror may add some more.
const MAX_REDIRECTS: usize = 5;

/// After so many attempts in a row that brought no new byte, we give up.
const MAX_FRUITLESS_ATTEMPTS: u32 = 3;

/// The hub, the token for it, and the cache.
#[derive(Debug, Clone)]
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    cache: PathBuf,
    retry_pause: Duration,
}

/// A file of a model repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteFile<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// The file's path in the repository.
    pub path: &'a str,
}

/// A file that was fetched, and whose content is what the hub states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies in the cache.
    pub path: PathBuf,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// The commit that it belongs to.
    pub commit: String,
    /// Why the hub could not be asked, if the file comes from the cache unasked; it may be older than the hub's.
    pub unasked: Option<String>,
}

/// What the hub states of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stated {
    sha256: String,
    size: u64,
    commit: String,
}

impl Hub {
    /// A hub at `endpoint`, with the files cached under `cache`.
    pub fn new(endpoint: &str, token: Option<String>, cache: PathBuf) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, token, cache, retry_pause: Duration::from_secs(1) }
    }

    /// The hub of the environment: `HF_ENDPOINT`, `HF_TOKEN` (or the file that `hf auth login` writes) and
    /// `HF_HUB_CACHE` (or `hub` in `HF_HOME`), as in the hub's own tools.
    ///
    /// # Errors
    /// [`HubError::NoCache`] where not even a home folder is known.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let cache_home = || {
            let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
            base.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache"))).map(|base| base.join("huggingface"))
        };
        let home = variable("HF_HOME").map(PathBuf::from).or_else(cache_home);
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let cache = variable("HF_HUB_CACHE").map(PathBuf::from).or_else(|| in_home("hub")).ok_or(HubError::NoCache)?;
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| in_home("token"));
        let saved = || std::fs::read_to_string(token_file?).ok();
        let token = variable("HF_TOKEN").or_else(saved).map(|token| token.trim().to_owned());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_ENDPOINT.to_owned());
        Ok(Self::new(&endpoint, token.filter(|token| !token.is_empty()), cache))
    }

    /// The same hub with another pause between a failed attempt and the next; tests set it to zero.
    pub fn with_retry_pause(self, retry_pause: Duration) -> Self {
        Self { retry_pause, ..self }
    }

    /// Fetches a file, or finds it in the cache. `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// [`HubError`], each with its remedy. After [`HubError::Interrupted`], the next call goes on where this one stopped.
    pub fn fetch(&self, file: RemoteFile<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<Fetched, HubError> {
        let cache = HubCache::new(&self.cache, file.repository);
        let stated = match self.state(file) {
            Err(error @ (HubError::Unreachable { .. } | HubError::Status { status: 500.., .. })) => {
                let Some((commit, path)) = cache.find(file.revision, file.path) else { return Err(error) };
                let unasked = Some(error.to_string());
                let sha256 = sha256_of(&path).map_err(HubError::io(&path))?;
                return Ok(Fetched { path, sha256, commit, unasked });
            }
            stated => stated?,
        };
        let blob = cache.blob(&stated.sha256);
        let is_cached = blob.exists() && sha256_of(&blob).map_err(HubError::io(&blob))? == stated.sha256;
        if !is_cached {
            self.download(file, &stated, &cache, progress)?;
        }
        let path = cache.publish(&stated.sha256, &stated.commit, file.revision, file.path)?;
        Ok(Fetched { path, sha256: stated.sha256, commit: stated.commit, unasked: None })
    }

    /// Brings the whole file into the cache.
    fn download(
        &self,
        file: RemoteFile<'_>,
        stated: &Stated,
        cache: &HubCache,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), HubError> {
        let mut incomplete = cache.incomplete(&stated.sha256, stated.size)?;
        let mut fruitless = 0;
        while incomplete.len() < stated.size {
            let before = incomplete.len();
            let Err(error) = self.attempt(file, stated, &mut incomplete, progress) else { continue };
            if !error.is_passing() {
                return Err(error);
            }
            fruitless = if incomplete.len() > before { 0 } else { fruitless + 1 };
            if fruitless == MAX_FRUITLESS_ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(self.retry_pause * fruitless);
        }
        let found = sha256_of(incomplete.path()).map_err(HubError::io(incomplete.path()))?;
        if found != stated.sha256 {
            incomplete.discard()?;
            return Err(HubError::Checksum { url: self.url(file), stated: stated.sha256.clone(), found });
        }
        incomplete.complete(&cache.blob(&stated.sha256))
    }

    /// One transfer, from where the last one stopped to where this one does.
    fn attempt(
        &self,
        file: RemoteFile<'_>,
        stated: &Stated,
        incomplete: &mut Incomplete,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), HubError> {
        let url = self.url(file);
        let range = format!("bytes={}-", incomplete.len());
        let (response, _) = self.follow(
            &url,
            |agent, url| agent.get(url).header("Range", &range),
            |response| response.status().is_success(),
        )?;
        match (response.status().as_u16(), range_start(response.headers())) {
            (206, Some(start)) if start == incomplete.len() => {}
            (206, _) => return Err(HubError::Unstated { url, what: "which part of the file it sends" }),
            // A server that knows no ranges sends it all.
            _ => incomplete.restart()?,
        }
        let mut body = response.into_body().into_reader().take(stated.size - incomplete.len());
        let mut piece = vec![0; 1 << 17];
        loop {
            let done = incomplete.len();
            progress(done, stated.size);
            let interrupted =
                |cause: String| HubError::Interrupted { url: url.clone(), done, size: stated.size, cause };
            match body.read(&mut piece) {
                Ok(0) if done == stated.size => return Ok(()),
                Ok(0) => return Err(interrupted("the connection was closed".to_owned())),
                Ok(length) => incomplete.append(&piece[..length])?,
                Err(cause) => return Err(interrupted(cause.to_string())),
            }
        }
    }

    /// Asks what the hub states of a file, without fetching it.
    fn state(&self, file: RemoteFile<'_>) -> Result<Stated, HubError> {
        let url = self.url(file);
        // Stop at the hub's own answer: it redirects to a store, whose headers tell nothing about the file.
        let is_telling = |response: &Response<Body>| {
            response.headers().contains_key("x-linked-etag") || response.status().is_success()
        };
        let (_, headers) = self.follow(&url, |agent, url| agent.head(url), is_telling)?;
        stated(&headers).map_err(|what| HubError::Unstated { url, what })
    }

    /// Asks, and follows redirects until an answer is enough; gives it with the headers of all answers, later ones over
    /// earlier ones. Redirects are followed by hand, because the client would send the token along to the same host on
    /// another port.
    fn follow(
        &self,
        url: &str,
        request: impl Fn(&Agent, &str) -> RequestBuilder<WithoutBody>,
        is_enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<(Response<Body>, HeaderMap), HubError> {
        let agent = agent()?;
        let mut url = url.to_owned();
        let mut headers = HeaderMap::new();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = request(&agent, &url);
            if let Some(token) = self.token.as_ref().filter(|_| self.is_own(&url)) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request
                .call()
                .map_err(|cause| HubError::Unreachable { endpoint: self.endpoint.clone(), cause: cause.to_string() })?;
            headers.extend(response.headers().clone());
            match response.status().as_u16() {
                _ if is_enough(&response) => return Ok((response, headers)),
                300..=399 => match text(response.headers(), "location") {
                    Some(location) if location.starts_with('/') => url = format!("{}{location}", self.endpoint),
                    Some(location) => url = location.to_owned(),
                    None => return Err(HubError::Unstated { url, what: "where it has moved to" }),
                },
                status => return Err(HubError::Status { url, status }),
            }
        }
        Err(HubError::Unstated { url, what: "where it has moved to: it redirects in a circle" })
    }

    fn url(&self, file: RemoteFile<'_>) -> String {
        format!("{}/{}/resolve/{}/{}", self.endpoint, file.repository, file.revision, file.path)
    }

    fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn agent() -> Result<Agent, HubError> {
    let config = Agent::config_builder()
        .tls_config(trust::tls()?)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("resnetd/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build();
    Ok(config.new_agent())
}

/// Reads the hub's headers; the error says what is not stated.
fn stated(headers: &HeaderMap) -> Result<Stated, &'static str> {
    // Of a large file, the entity tag is its SHA-256; of a small one it is git's SHA-1.
    let tag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag")).unwrap_or_default();
    let sha256 = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
    if !is_hexadecimal(&sha256, 64) {
        return Err("its SHA-256");
    }
    let size = text(headers, "x-linked-size").or_else(|| text(headers, "content-length"));
    let size = size.and_then(|size| size.parse().ok()).ok_or("its size")?;
    let commit = text(headers, "x-repo-commit").filter(|commit| is_hexadecimal(commit, 40)).ok_or("its commit")?;
    Ok(Stated { sha256, size, commit: commit.to_owned() })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // The last of several: each redirect adds its own.
    headers.get_all(name).iter().next_back()?.to_str().ok()
}

/// The first byte of `Content-Range: bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn sha256_of(path: &std::path::Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 17];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(crate::files::hex(&hash.finalize())),
            length => hash.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Hub::from_env(variable).unwrap()
    }

    #[test]
    fn variables_of_the_hubs_own_tools_are_honoured() {
        let found = hub(&[("HOME", "/h")]);
        assert_eq!((found.endpoint.as_str(), found.token), ("https://huggingface.co", None));
        assert_eq!(found.cache, PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(hub(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).cache, PathBuf::from("/x/huggingface/hub"));
        assert_eq!(hub(&[("HOME", "/h"), ("HF_HOME", "/hf")]).cache, PathBuf::from("/hf/hub"));

        let found = hub(&[("HF_HUB_CACHE", "/c"), ("HF_TOKEN", " t\n"), ("HF_ENDPOINT", "http://mirror/")]);
        assert_eq!((found.endpoint.as_str(), found.token.as_deref()), ("http://mirror", Some("t")));
        assert_eq!(found.cache, PathBuf::from("/c"));
        assert!(matches!(Hub::from_env(|_| None), Err(HubError::NoCache)));
    }

    #[test]
    fn token_is_for_the_endpoint_alone() {
        let hub = hub(&[("HOME", "/h"), ("HF_ENDPOINT", "https://hub.example")]);
        assert!(hub.is_own("https://hub.example/timm/x"));
        assert!(!hub.is_own("https://hub.example.evil.org/timm/x"));
        assert!(!hub.is_own("https://cdn.example/x"));
    }
}
