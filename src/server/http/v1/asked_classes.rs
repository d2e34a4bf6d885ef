//! What a client asks of an explanation: which classes, and how much of the picture is shown.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::service::{Error, ExplainCrops, ExplainView, MOST_EXPLAINED, Shown};

/// The options that only an explanation has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ExplainOptions {
    pub(super) classes: AskedClasses,
    pub(super) view: ExplainView,
    pub(super) crops: ExplainCrops,
}

impl ExplainOptions {
    /// Sets the view by its name.
    ///
    /// # Errors
    /// What it may be.
    pub(super) fn set_view(&mut self, name: &str) -> Result<(), String> {
        self.view = match name {
            "crop" => ExplainView::Crop,
            "original" => ExplainView::Original,
            _ => return Err(format!("view is `{}`: it must be `crop` or `original`", Shown(name))),
        };
        Ok(())
    }

    /// Sets how often a picture is looked at.
    ///
    /// # Errors
    /// What it may be.
    pub(super) fn set_crops(&mut self, number: &str) -> Result<(), Error> {
        let refused = || ExplainCrops::refused(&Shown(number).to_string());
        self.crops = number.parse().map_err(|_| refused()).and_then(ExplainCrops::numbered)?;
        Ok(())
    }
}

/// Labels or indices, in the order of the answer. One more is kept than there may be: so many are refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AskedClasses(pub(super) Vec<String>);

impl AskedClasses {
    pub(super) fn add(&mut self, name: String) {
        if self.0.len() <= MOST_EXPLAINED {
            self.0.push(name);
        }
    }
}

impl<'de> Deserialize<'de> for AskedClasses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClassesVisitor;

        impl<'de> Visitor<'de> for ClassesVisitor {
            type Value = AskedClasses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a class, by its label or index, or a list of such")
            }

            fn visit_u64<E>(self, index: u64) -> Result<AskedClasses, E> {
                Ok(AskedClasses(vec![index.to_string()]))
            }

            fn visit_i64<E>(self, index: i64) -> Result<AskedClasses, E> {
                Ok(AskedClasses(vec![index.to_string()]))
            }

            fn visit_str<E>(self, label: &str) -> Result<AskedClasses, E> {
                Ok(AskedClasses(vec![label.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AskedClasses, A::Error> {
                let mut classes = AskedClasses::default();
                while classes.0.len() <= MOST_EXPLAINED {
                    let Some(OneClass(name)) = list.next_element()? else { return Ok(classes) };
                    classes.add(name);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(classes)
            }
        }

        deserializer.deserialize_any(ClassesVisitor)
    }
}

/// An entry of the list.
struct OneClass(String);

impl<'de> Deserialize<'de> for OneClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneVisitor;

        impl Visitor<'_> for OneVisitor {
            type Value = OneClass;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label or an index")
            }

            fn visit_u64<E>(self, index: u64) -> Result<OneClass, E> {
                Ok(OneClass(index.to_string()))
            }

            fn visit_i64<E>(self, index: i64) -> Result<OneClass, E> {
                Ok(OneClass(index.to_string()))
            }

            fn visit_str<E>(self, label: &str) -> Result<OneClass, E> {
                Ok(OneClass(label.to_owned()))
            }
        }

        deserializer.deserialize_any(OneVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<String>, String> {
        serde_json::from_str(json).map(|AskedClasses(classes)| classes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_class_is_a_label_or_an_index_or_a_list_of_both() {
        assert_eq!(read("3"), Ok(vec!["3".to_owned()]));
        assert_eq!(read("\"tench, Tinca tinca\""), Ok(vec!["tench, Tinca tinca".to_owned()]));
        assert_eq!(read("[3, \"cat\", -1]"), Ok(vec!["3".to_owned(), "cat".to_owned(), "-1".to_owned()]));
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn no_more_are_kept_than_it_takes_to_see_that_they_are_too_many() {
        let many = vec!["1"; 10_000].join(",");
        assert_eq!(read(&format!("[{many}]")).map(|kept| kept.len()), Ok(MOST_EXPLAINED + 1));
        let mut classes = AskedClasses::default();
        (0..10_000).for_each(|_| classes.add(String::new()));
        assert_eq!(classes.0.len(), MOST_EXPLAINED + 1);
    }

    #[test]
    fn what_is_no_class_is_refused() {
        for json in ["1.5", "null", "true", "{}", "[[1]]", "[null]"] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
