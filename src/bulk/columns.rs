//! Which columns of a table are read, in whatever form it comes: one has the pictures' files, another one may have their keys.

/// The columns that are looked for where none is named: plain ones, what Spark calls the files that it reads (`content`), and the
/// structure of Hugging Face's data sets.
const PICTURES: [&str; 5] = ["image", "bytes", "jpg", "content", "image.bytes"];

/// What the row of a null says.
pub(super) const NO_PICTURE: &str = "the row has no picture: the column is null there";

/// Which columns are read.
#[derive(Clone, Debug, Default)]
pub struct ShardColumns {
    /// The pictures; `structure.field` for a field.
    pub picture: Option<String>,
    /// Their keys: text or whole numbers. Without it a row is called by its number, from 0 on.
    pub key: Option<String>,
}

impl ShardColumns {
    /// The columns of pictures and of keys.
    ///
    /// * `named`: the column of this name, where there is one with values of its own
    /// * `there`: the names of all of these
    ///
    /// # Errors
    /// What is missing, and what is there.
    pub(super) fn choose<C>(
        &self,
        named: impl Fn(&str) -> Option<C>,
        there: impl Fn() -> Vec<String>,
    ) -> Result<(C, Option<C>), String> {
        let there = || there().join(", ");
        let picture = match &self.picture {
            // The bytes of Hugging Face's structure, should it be named itself.
            Some(name) => named(name)
                .or_else(|| named(&format!("{name}.bytes")))
                .ok_or_else(|| format!("there is no column `{name}`; there is {}", there()))?,
            None => PICTURES.iter().find_map(|name| named(name)).ok_or_else(|| {
                format!(
                    "there is no column {}: name the one with the pictures with --column; there is {}",
                    PICTURES.join(" or "),
                    there()
                )
            })?,
        };
        let key = self.key.as_ref().map(|name| {
            named(name).ok_or_else(|| format!("there is no column `{name}` for --key; there is {}", there()))
        });
        Ok((picture, key.transpose()?))
    }
}

/// The column of pictures has something else.
pub(super) fn no_bytes(name: &str) -> String {
    format!("column `{name}` is no column of bytes; name the one with the pictures with --column")
}

/// The column of keys has something else.
pub(super) fn no_keys(name: &str) -> String {
    format!("column `{name}` for --key has neither text nor whole numbers")
}
