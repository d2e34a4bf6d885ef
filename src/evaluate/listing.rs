//! Lists of images and their classes, as people keep them beside ImageNet's flat `val` folder: `labels.csv` with
//! `file,class`, and `val.txt` with `file index`. Knows text only.

use std::path::{Component, Path, PathBuf};

use crate::postprocess::NoClass;

/// A list and where it is.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The file; `.csv` is a table with commas, everything else has white space before the class.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedImage {
    /// Counted from 1.
    pub(super) line: u64,
    pub(super) file: String,
    /// A name of a class.
    pub(super) class: String,
}

/// What is wrong with a list.
#[derive(Debug, thiserror::Error)]
#[error("{} line {line}: {problem}", path.display())]
pub struct ListingError {
    /// The list.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

impl Listing {
    /// The names under which a list is looked for.
    pub const FILES: [&str; 2] = ["labels.csv", "val.txt"];

    fn error(&self, line: u64, problem: String) -> ListingError {
        ListingError { path: self.path.clone(), line, problem }
    }

    pub(super) fn no_class(&self, entry: &ListedImage, reason: NoClass) -> ListingError {
        let problem = format!("{} is {reason}; give a label, its WordNet id or its index", entry.class);
        self.error(entry.line, problem)
    }

    pub(super) fn contradiction(&self, first: &ListedImage, second: &ListedImage) -> ListingError {
        let problem = format!(
            "{} is of class {} here and of class {} in line {}; remove one",
            second.file, second.class, first.class, first.line
        );
        self.error(second.line, problem)
    }
}

/// The lines of a list, empty ones left out.
pub(super) fn listed_images(listing: &Listing) -> Result<Vec<ListedImage>, ListingError> {
    let is_table = listing.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let listed = if is_table { table(listing)? } else { lines(listing)? };
    // Only the user's own disk is read; but what lies elsewhere is a mistake.
    let inside =
        |file: &str| Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match listed.iter().find(|entry| !inside(&entry.file)) {
        Some(entry) => {
            Err(listing.error(entry.line, format!("{} lies outside the folder; name a file below it", entry.file)))
        }
        None => Ok(listed),
    }
}

fn table(listing: &Listing) -> Result<Vec<ListedImage>, ListingError> {
    let row = |(line, text): (u64, &str)| {
        let wrong = || listing.error(line, "expected file,class".to_owned());
        // A line at a time, so that lines are counted as editors count them; names of files have no line breaks.
        let reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
        let record = reader.into_records().next().and_then(Result::ok).ok_or_else(wrong)?;
        match (record.get(0), record.get(1)) {
            (Some(file), Some(class)) if !file.is_empty() && !class.is_empty() => {
                Ok(ListedImage { line, file: file.to_owned(), class: class.to_owned() })
            }
            _ => Err(wrong()),
        }
    };
    lines_of(listing).map(row).collect()
}

fn lines(listing: &Listing) -> Result<Vec<ListedImage>, ListingError> {
    let row = |(line, text): (u64, &str)| {
        let (file, class) = text
            .rsplit_once(char::is_whitespace)
            .ok_or_else(|| listing.error(line, "expected a file, a space and the index of its class".to_owned()))?;
        Ok(ListedImage { line, file: file.trim_end().to_owned(), class: class.to_owned() })
    };
    lines_of(listing).map(row).collect()
}

/// The lines that are not empty, counted from 1.
fn lines_of(listing: &Listing) -> impl Iterator<Item = (u64, &str)> {
    let text = listing.text.trim_start_matches('\u{feff}');
    (1..).zip(text.lines().map(str::trim)).filter(|(_, text)| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str) -> Result<Vec<(u64, String, String)>, String> {
        let listing = Listing { path: file.into(), text: text.to_owned() };
        let listed = listed_images(&listing).map_err(|error| error.to_string())?;
        Ok(listed.into_iter().map(|entry| (entry.line, entry.file, entry.class)).collect())
    }

    fn entry(line: u64, file: &str, class: &str) -> (u64, String, String) {
        (line, file.to_owned(), class.to_owned())
    }

    #[test]
    fn tables_may_quote_and_have_further_columns() {
        let text = "\u{feff}\"a,b.png\", great dane\r\n\nc.png,3,easy\n";
        assert_eq!(read("labels.csv", text).unwrap(), [entry(1, "a,b.png", "great dane"), entry(3, "c.png", "3")]);
        assert!(read("labels.csv", "a.png,1\nb.png\n").unwrap_err().contains("line 2: expected file,class"));
    }

    #[test]
    fn a_class_follows_the_last_white_space() {
        assert_eq!(
            read("val.txt", "my photo.jpg 7\n\nb.jpg\t 12 \n").unwrap(),
            [entry(1, "my photo.jpg", "7"), entry(3, "b.jpg", "12")]
        );
        assert!(read("val.txt", "a.jpg\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn files_outside_the_folder_are_refused() {
        for file in ["../a.png", "/etc/a.png"] {
            assert!(read("val.txt", &format!("{file} 1\n")).unwrap_err().contains("outside the folder"));
        }
    }
}
