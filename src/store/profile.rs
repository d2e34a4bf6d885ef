//! The shared files of Amazon's tools, `~/.aws/credentials` and `~/.aws/config`: the keys and the region of a profile. The client library
//! does not read them, and they belong to the usual chain. Keys only: what a profile asks for beyond that (SSO, another role) is a matter of the
//! tools, which can write keys (`aws configure export-credentials`).

use std::path::PathBuf;

use crate::files;

/// Of a file of profiles.
const LARGEST_FILE: u64 = 1 << 20;

/// What a profile says, by the names of the environment variables that mean the same.
pub(super) fn variables(of: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let profile = of("AWS_PROFILE").or_else(|| of("AWS_DEFAULT_PROFILE")).unwrap_or_else(|| "default".to_owned());
    let place = |variable: &str, name: &str| {
        of(variable).map(PathBuf::from).or_else(|| Some(PathBuf::from(of("HOME")?).join(".aws").join(name)))
    };
    let text =
        |path: Option<PathBuf>| path.and_then(|path| files::read_text(&path, LARGEST_FILE).ok()).unwrap_or_default();
    let credentials = text(place("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    let config = text(place("AWS_CONFIG_FILE", "config"));
    let config_section = if profile == "default" { profile.clone() } else { format!("profile {profile}") };
    let keys = [
        ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("aws_session_token", "AWS_SESSION_TOKEN"),
        ("region", "AWS_REGION"),
        ("endpoint_url", "AWS_ENDPOINT_URL"),
    ];
    let found = |(key, variable): (&str, &str)| {
        let value = value(&credentials, &profile, key).or_else(|| value(&config, &config_section, key))?;
        Some((variable.to_owned(), value))
    };
    keys.into_iter().filter_map(found).collect()
}

/// The value of a key in a section; what is indented belongs to the key above it.
fn value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut is_inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            is_inside = name.trim() == section;
        } else if is_inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((name, value)) = trimmed.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_profile_that_is_named_gives_keys_and_region() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".aws");
        fs::create_dir(&folder).unwrap();
        fs::write(
            folder.join("credentials"),
            "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[team]\n# aws_access_key_id = no\naws_access_key_id=C\naws_secret_access_key = D=\n",
        )
        .unwrap();
        fs::write(
            folder.join("config"),
            "[default]\nregion = eu-west-1\n[profile team]\ns3 =\n  region = no\nregion=us-west-2\n",
        )
        .unwrap();
        let home = home.path().to_str().unwrap().to_owned();
        let of = |profile: Option<&str>| {
            variables(|name| match name {
                "HOME" => Some(home.clone()),
                "AWS_PROFILE" => profile.map(str::to_owned),
                _ => None,
            })
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(
            of(None),
            pairs(&[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B"), ("AWS_REGION", "eu-west-1")])
        );
        assert_eq!(
            of(Some("team")),
            pairs(&[("AWS_ACCESS_KEY_ID", "C"), ("AWS_SECRET_ACCESS_KEY", "D="), ("AWS_REGION", "us-west-2")])
        );
        assert!(of(Some("none")).is_empty());
    }
}
