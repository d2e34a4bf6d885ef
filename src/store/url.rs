//! Where a store is: `s3://bucket/prefix`, `gs://`, `az://`. Pure; a URL has no place for secrets here.

use std::{fmt, str::FromStr};

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Amazon S3, and what speaks as it does.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl StoreKind {
    const ALL: [(&'static str, Self); 3] = [("s3", Self::S3), ("gs", Self::Gcs), ("az", Self::Azure)];

    fn scheme(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(scheme, _)| scheme)
    }
}

/// A bucket, or a container, and a prefix in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUrl {
    /// Whose.
    pub kind: StoreKind,
    /// The bucket's or container's name.
    pub bucket: String,
    /// Without `/` at its ends; empty for the whole bucket.
    pub prefix: String,
}

/// Why a text names no store. It does not repeat the text, in which a secret may stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Another scheme.
    #[error(
        "a repository elsewhere is s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or hf://owner/name"
    )]
    Scheme,
    /// User, query or fragment.
    #[error(
        "the URL of a store holds a bucket and a prefix, nothing else: no `@`, `?` or `#`; credentials come from the environment, as for \
         the cloud's own tools"
    )]
    Secret,
    /// No bucket.
    #[error("the URL names no bucket: write {0}://bucket/prefix")]
    NoBucket(&'static str),
    /// An empty part, `.` or `..`, or a control character.
    #[error("the prefix has an empty part, `.`, `..` or a control character: write it as the objects' names begin")]
    Prefix,
}

impl StoreUrl {
    /// Whether a text is meant for a URL rather than for a folder.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
        })
    }

    /// The same bucket, further down.
    pub fn join(&self, below: &str) -> Self {
        let prefix = [&*self.prefix, below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Self { prefix, ..self.clone() }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(StoreUrlError::Scheme)?;
        let (scheme, kind) =
            StoreKind::ALL.into_iter().find(|(known, _)| *known == scheme).ok_or(StoreUrlError::Scheme)?;
        if rest.contains(['@', '?', '#']) {
            return Err(StoreUrlError::Secret);
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(StoreUrlError::NoBucket(scheme));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
        if bucket.contains(char::is_control) || (!prefix.is_empty() && prefix.split('/').any(is_odd)) {
            return Err(StoreUrlError::Prefix);
        }
        Ok(Self { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_alike() {
        for (text, kind, bucket, prefix) in [
            ("s3://models", StoreKind::S3, "models", ""),
            ("gs://b/a/b", StoreKind::Gcs, "b", "a/b"),
            ("az://c/models", StoreKind::Azure, "c", "models"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.kind, &*url.bucket, &*url.prefix), (kind, bucket, prefix));
            assert_eq!(url.to_string(), text);
            assert_eq!(format!("{text}/").parse(), Ok(url));
        }
        let whole: StoreUrl = "s3://b".parse().unwrap();
        assert_eq!(whole.join("m/1").to_string(), "s3://b/m/1");
        assert_eq!(whole.join("a").join("m/1").to_string(), "s3://b/a/m/1");
    }

    #[test]
    fn what_is_no_store_is_refused_without_being_repeated() {
        for (text, refused) in [
            ("ftp://b", StoreUrlError::Scheme),
            ("s3:/b", StoreUrlError::Scheme),
            ("s3://AKIA:secret@b/p", StoreUrlError::Secret),
            ("az://c/p?sig=secret", StoreUrlError::Secret),
            ("s3:///p", StoreUrlError::NoBucket("s3")),
            ("gs://", StoreUrlError::NoBucket("gs")),
            ("s3://b/a//c", StoreUrlError::Prefix),
            ("s3://b/../c", StoreUrlError::Prefix),
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(refused.clone()), "{text}");
            assert!(!refused.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_folder_is_told_from_a_url() {
        for text in ["s3://b/p", "hf://owner/name", "https://x"] {
            assert!(StoreUrl::is_meant(text), "{text}");
        }
        for text in ["models", "/a/b", "./s3:/b", "://", "a b://c"] {
            assert!(!StoreUrl::is_meant(text), "{text}");
        }
    }
}
