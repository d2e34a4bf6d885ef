//! What can be wrong with a store, each with a remedy, in words of our own: the libraries' texts have URLs, key ids and parts of
//! signatures in them, and none of those belongs into a log.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

use super::url::{StoreKind, StoreUrl};
use crate::staging::FileError;

/// Why a store, or something in it, could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {fault}")]
pub struct StoreError {
    /// The store.
    pub url: StoreUrl,
    /// What is wrong.
    pub fault: Box<StoreFault>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// No connection, no answer in time, 5xx.
    #[error("it {0}; it is tried again")]
    Away(String),
    /// Nothing to sign with.
    #[error("there are no credentials for it: {0}")]
    NoCredentials(&'static str),
    /// The store knows the credentials not, or no more.
    #[error("it refuses the credentials ({code}): {remedy}")]
    Credentials {
        /// The store's word for it.
        code: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The credentials may not.
    #[error("access is denied ({code}): allow these credentials to {allow}")]
    Denied {
        /// The store's word for it.
        code: String,
        /// What they need.
        allow: &'static str,
    },
    /// No such bucket.
    #[error("there is no such bucket or container: create it or correct the URL")]
    NoBucket,
    /// The bucket is elsewhere.
    #[error("the bucket is in another region: set AWS_REGION to its region")]
    Region,
    /// An object is not there, or another one than was listed.
    #[error("{0} has changed while it was fetched; it is fetched anew")]
    Changed(String),
    /// Bytes are not those that the store states.
    #[error(
        "{name}: its bytes are not what {witness} says (stated {stated}, came {came}); it is fetched anew, and what is damaged in the store has to be put there again"
    )]
    Checksum {
        /// The object.
        name: String,
        /// What states it.
        witness: &'static str,
        /// Hexadecimal.
        stated: String,
        /// Hexadecimal.
        came: String,
    },
    /// It is listed and cannot be a repository.
    #[error("{0}")]
    Content(String),
    /// Something is wrong with the settings of the store.
    #[error("it cannot be asked: {0}")]
    Settings(String),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] FileError),
    /// It would be larger than it may be.
    #[error(
        "{name} has {needed} bytes and does not fit into the cache, which may have {limit} and keeps what is served: raise [models] cache_max_bytes"
    )]
    Full {
        /// What.
        name: String,
        /// Its bytes.
        needed: u64,
        /// The most that the cache may have.
        limit: u64,
    },
    /// Anything else the store answers.
    #[error("it answers {0}")]
    Answer(String),
}

impl StoreFault {
    /// The store itself cannot be had: nothing else of it needs to be tried now.
    pub fn is_of_the_store(&self) -> bool {
        matches!(
            self,
            Self::Away(_)
                | Self::NoCredentials(_)
                | Self::Credentials { .. }
                | Self::NoBucket
                | Self::Region
                | Self::Settings(_)
        )
    }

    /// The same once more, for another one who asked.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Away(what) => Self::Away(what.clone()),
            Self::NoCredentials(what) => Self::NoCredentials(what),
            Self::Credentials { code, remedy } => Self::Credentials { code: code.clone(), remedy },
            Self::Denied { code, allow } => Self::Denied { code: code.clone(), allow },
            Self::NoBucket => Self::NoBucket,
            Self::Region => Self::Region,
            Self::Settings(what) => Self::Settings(what.clone()),
            Self::Answer(what) => Self::Answer(what.clone()),
            other => Self::Content(other.to_string()),
        }
    }

    /// It may go away by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Changed(_) | Self::Checksum { .. })
    }

    /// What the library says, in our words.
    ///
    /// * `name`: what was asked for
    pub(super) fn of(kind: StoreKind, name: &str, error: &object_store::Error) -> Self {
        if let object_store::Error::Precondition { .. } = error {
            return Self::Changed(name.to_owned());
        }
        if let object_store::Error::InvalidPath { .. } = error {
            return Self::Content(
                "an object in it has a name that is no path (an empty part, `..`, a control character): rename it, or point the URL at a prefix without it"
                    .to_owned(),
            );
        }
        // All that the library tells of an answer is this text: its type is private.
        let text = error.to_string();
        let is_of_the_machine = MACHINES_CREDENTIALS.iter().any(|place| text.contains(place));
        match status(&text) {
            // It was not the store that answered: this machine has no role, or none of the cloud's machines is here.
            Some(status) if is_of_the_machine && !is_passing(status) => {
                return Self::NoCredentials(usual_chain(kind));
            }
            Some(status) => return Self::of_answer(kind, name, status, &code(&text).unwrap_or_default()),
            None => {}
        }
        if text.contains("redirect without LOCATION") {
            return Self::Region;
        }
        if is_of_the_machine || text.contains("oauth2") {
            return Self::NoCredentials(usual_chain(kind));
        }
        let mut cause: &dyn Error = error;
        let mut http = None;
        while let Some(next) = cause.source() {
            http = next.downcast_ref::<HttpError>().map(HttpError::kind).or(http);
            cause = next;
        }
        match http {
            Some(HttpErrorKind::Timeout) => Self::Away("does not answer in time".to_owned()),
            Some(HttpErrorKind::Connect) => Self::Away(format!("cannot be reached ({cause})")),
            Some(_) => Self::Away(format!("breaks off ({cause})")),
            None if text.contains("range") || text.contains("partial") => {
                Self::Answer(format!("another part of {name} than it was asked for: it has to know ranges"))
            }
            None if name.is_empty() => Self::Answer("what cannot be read".to_owned()),
            None => Self::Answer(format!("what cannot be read, for {name}")),
        }
    }

    fn of_answer(kind: StoreKind, name: &str, status: u16, code: &str) -> Self {
        let said = if code.is_empty() { status.to_string() } else { format!("{status} {code}") };
        match (status, code) {
            (_, "SlowDown" | "RequestTimeout") => Self::Away(format!("answers {said}")),
            _ if is_passing(status) => Self::Away(format!("answers {said}")),
            (_, "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired") => {
                Self::Credentials { code: said, remedy: "they have expired; renew them" }
            }
            (_, "RequestTimeTooSkewed") => Self::Credentials { code: said, remedy: "set this machine's clock" },
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "AuthenticationFailed")
            | (401, _) => Self::Credentials { code: said, remedy: correct(kind) },
            (301 | 307, _) | (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") => Self::Region,
            (403, "InvalidObjectState") => Self::Content(format!("{name} is archived: restore it, or delete it")),
            (403, _) => Self::Denied { code: said, allow: rights(kind) },
            (404, "NoSuchBucket" | "ContainerNotFound") => Self::NoBucket,
            (404 | 412 | 416, _) if !name.is_empty() => Self::Changed(name.to_owned()),
            (404, _) => Self::NoBucket,
            _ => Self::Answer(said),
        }
    }
}

/// Where a machine or a pod of a cloud asks for credentials of its own.
const MACHINES_CREDENTIALS: [&str; 4] = ["169.254.", "metadata.google.internal", "/latest/api/token", "/msi/token"];

/// Whether an answer of this status may be another one later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn usual_chain(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::S3 => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile in ~/.aws/credentials, or give the machine or pod a role; a public bucket \
             is read with AWS_SKIP_SIGNATURE=true"
        }
        StoreKind::Gcs => {
            "set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or give the machine or pod a service account; a \
             public bucket is read with GOOGLE_SKIP_SIGNATURE=true"
        }
        StoreKind::Azure => {
            "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY, a client secret or a federated token, or give \
             the machine an identity"
        }
    }
}

fn correct(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::S3 => "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
        StoreKind::Gcs => "correct what GOOGLE_APPLICATION_CREDENTIALS names",
        StoreKind::Azure => "correct AZURE_STORAGE_ACCOUNT_KEY or the token",
    }
}

fn rights(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::S3 => "s3:ListBucket on the bucket and s3:GetObject on its objects (`push`: s3:PutObject)",
        StoreKind::Gcs => "be Storage Object Viewer of the bucket (`push`: Storage Object User)",
        StoreKind::Azure => "be Storage Blob Data Reader of the container (`push`: Contributor)",
    }
}

/// The status in `…status code: 403 Forbidden: …`.
fn status(text: &str) -> Option<u16> {
    let after = text.split("status code: ").nth(1)?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The word between `<Code>` and `</Code>`; only a word, whatever a server puts there.
fn code(text: &str) -> Option<String> {
    let word = text.split("<Code>").nth(1)?.split("</Code>").next()?;
    (word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let error = object_store::Error::Generic { store: "S3", source: text.to_owned().into() };
        StoreFault::of(StoreKind::S3, "m/1/model.onnx", &error).to_string()
    }

    #[test]
    fn answers_of_stores_have_remedies_and_nothing_of_their_text() {
        let answer = |status: &str, code: &str| {
            fault(&format!(
                "Error performing GET http://h/b?X-Amz-Signature=SECRET in 1ms - Server returned non-2xx status code: {status}: \
                 <Error><Code>{code}</Code><StringToSign>SECRET</StringToSign></Error>"
            ))
        };
        for (status, code, expected) in [
            ("503 Service Unavailable", "SlowDown", "it answers 503 SlowDown; it is tried again"),
            (
                "400 Bad Request",
                "ExpiredToken",
                "it refuses the credentials (400 ExpiredToken): they have expired; renew them",
            ),
            (
                "403 Forbidden",
                "SignatureDoesNotMatch",
                "it refuses the credentials (403 SignatureDoesNotMatch): correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
            ),
            (
                "403 Forbidden",
                "AccessDenied",
                "access is denied (403 AccessDenied): allow these credentials to s3:ListBucket on the bucket and s3:GetObject on its objects \
                 (`push`: s3:PutObject)",
            ),
            ("404 Not Found", "NoSuchBucket", "there is no such bucket or container: create it or correct the URL"),
            ("404 Not Found", "NoSuchKey", "m/1/model.onnx has changed while it was fetched; it is fetched anew"),
            ("301 Moved", "PermanentRedirect", "the bucket is in another region: set AWS_REGION to its region"),
            ("418 I'm a teapot", "SEC RET", "it answers 418"),
        ] {
            assert_eq!(answer(status, code), expected);
        }
    }

    #[test]
    fn a_machine_without_a_role_is_no_answer_of_the_store() {
        let place = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
        let answer = |status: &str| {
            fault(&format!("Error performing GET {place} in 1ms - Server returned non-2xx status code: {status}: "))
        };
        for status in ["404 Not Found", "403 Forbidden"] {
            assert!(answer(status).starts_with("there are no credentials for it: "), "{}", answer(status));
        }
        assert_eq!(answer("503 Service Unavailable"), "it answers 503; it is tried again");
        let listing = object_store::Error::Generic { store: "GCS", source: "no ETag".to_owned().into() };
        assert_eq!(StoreFault::of(StoreKind::Gcs, "", &listing).to_string(), "it answers what cannot be read");
    }

    #[test]
    fn what_nobody_foresaw_repeats_nothing() {
        assert_eq!(fault("SECRET"), "it answers what cannot be read, for m/1/model.onnx");
        assert!(
            fault("Error performing PUT http://169.254.169.254/latest/api/token in 1s")
                .starts_with("there are no credentials for it: ")
        );
    }
}
