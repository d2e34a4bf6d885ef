//! A shard: a file with many pictures. Which kinds there are, and one way to read each.

use std::{ops::ControlFlow, path::Path};

use super::{
    columns::ShardColumns,
    member::{Member, MemberError},
    parquet_shard::read_parquet,
    tar_shard::read_tar,
};
use crate::files;

/// The names that shards end with.
const SHARD_ENDINGS: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".parquet"];

/// Whether a file of this name has many pictures.
pub fn is_shard(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    SHARD_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// How shards are read.
#[derive(Clone, Debug)]
pub struct ShardReading {
    /// Of Parquet files.
    pub columns: ShardColumns,
    /// Which members of a tar file are pictures.
    pub is_picture: fn(&Path) -> bool,
    /// The most bytes of a picture.
    pub limit: u64,
}

impl ShardReading {
    /// Hands every picture of `shard` to `each`, from the one with number `first` on: the same ones with the same numbers each time, as
    /// long as the file is the same. What is damaged is among them, and so is a shard that cannot be opened. `Break`: `each` has enough.
    pub fn read(&self, shard: &Path, first: u64, each: &mut dyn FnMut(Member) -> ControlFlow<()>) -> ControlFlow<()> {
        let file = match files::open(shard) {
            Ok(file) => file,
            Err(_) if first > 0 => return ControlFlow::Continue(()),
            Err(error) => {
                let content = Err(MemberError::Cut(error.to_string()));
                return each(Member { number: 0, key: files::shown(shard), content });
            }
        };
        if shard.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
            read_parquet(shard, file, &self.columns, self.limit, first, each)
        } else {
            read_tar(shard, file, self.is_picture, self.limit, first, each)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bulk").join(name)
    }

    /// Numbers, keys and lengths or errors, from `first` on.
    fn members(shard: &Path, first: u64) -> Vec<(u64, String, Result<usize, MemberError>)> {
        let columns = ShardColumns::default();
        let is_picture = |path: &Path| path.extension().is_some_and(|extension| extension == "jpg");
        let mut found = Vec::new();
        let read = ShardReading { columns, is_picture, limit: 900 }.read(shard, first, &mut |member| {
            found.push((member.number, member.key, member.content.map(|bytes| bytes.len())));
            ControlFlow::Continue(())
        });
        assert!(read.is_continue());
        found
    }

    #[test]
    fn reading_that_begins_anywhere_gives_the_rest_of_what_reading_all_of_it_gives() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["flat.parquet", "hf.parquet", "webdataset.tar", "packed.tar.gz"] {
            let whole = fs::read(fixture(name)).unwrap();
            let cuts = (1..=8).map(|eighth| whole[..whole.len() * eighth / 8].to_vec());
            let damages = (1..6).map(|place| {
                let mut damaged = whole.clone();
                damaged[whole.len() * place / 6..][..whole.len() / 12].fill(0x5a);
                damaged
            });
            for content in cuts.chain(damages) {
                let shard = folder.path().join(name);
                fs::write(&shard, &content).unwrap();
                let all = members(&shard, 0);
                let numbers: Vec<_> = all.iter().map(|member| member.0).collect();
                assert_eq!(numbers, (0..all.len() as u64).collect::<Vec<_>>(), "{name}");
                for first in 0..=all.len() {
                    assert_eq!(members(&shard, first as u64), all[first..], "{name} of {} from {first}", content.len());
                }
            }
        }
    }

    #[test]
    fn a_shard_that_is_not_there_is_one_row_and_pictures_over_the_limit_are_passed_over() {
        let missing = members(&fixture("none.tar"), 0);
        assert!(matches!(&missing[..], [(0, _, Err(MemberError::Cut(_)))]), "{missing:?}");
        assert_eq!(members(&fixture("none.tar"), 1), []);
        for name in ["flat.parquet", "webdataset.tar"] {
            let large = members(&fixture(name), 0);
            let is_large = |(_, _, content): &&(u64, String, Result<usize, MemberError>)| {
                matches!(content, Err(MemberError::TooLarge { limit: 900, .. }))
            };
            assert!((1..large.len()).contains(&large.iter().filter(is_large).count()), "{large:?}");
        }
    }

    #[test]
    fn shards_are_known_by_their_endings() {
        for name in ["a.tar", "A.TAR", "b.tar.gz", "b.tgz", "c.parquet", ".tar"] {
            assert!(is_shard(Path::new(name)), "{name}");
        }
        for name in ["tar", "a.gz", "a.tar.jpg", "a.jpg", "folder.parquet/a.jpg"] {
            assert!(!is_shard(Path::new(name)), "{name}");
        }
    }
}
