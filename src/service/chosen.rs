//! Which classes of a picture are explained: named, each by a label or an index, or the most probable ones. Pure.

use super::{Error, ErrorKind, ErrorSubject, Shown, Target};
use crate::postprocess::ClassNames;

/// So many classes of a picture are explained at most: each is a map of its own.
pub const MOST_EXPLAINED: usize = 32;

/// Which classes are explained.
pub(super) enum Chosen {
    Named(Vec<usize>),
    Best(usize),
}

impl Chosen {
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a class that there is not, and for too many.
    pub(super) fn of(target: &Target, names: &[String], best: Option<usize>) -> Result<Self, Error> {
        let model = target.model();
        let count = model.classes();
        let refused =
            |field, message| Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field(field)));
        let most = MOST_EXPLAINED.min(count);
        let best = best.unwrap_or(1);
        if !(1..=most).contains(&best) {
            return refused("top_k", format!("top_k is {best}, allowed is 1 to {most} where classes are explained"));
        }
        if names.is_empty() {
            return Ok(Self::Best(best));
        }
        if names.len() > MOST_EXPLAINED {
            return refused("classes", too_many());
        }
        let labels: Vec<&str> = model.info.labels.iter().map(|label| &**label).collect();
        let known = ClassNames::parse(&labels.join("\n"));
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            // A label may have commas; what is none with them is a list.
            let is_one = find(&known, name, count).is_ok();
            let parts: Vec<_> = if is_one { vec![&**name] } else { name.split(',').map(str::trim).collect() };
            for part in parts {
                match find(&known, part, count) {
                    Ok(class) if chosen.contains(&class) => {}
                    Ok(_) if chosen.len() == MOST_EXPLAINED => return refused("classes", too_many()),
                    Ok(class) => chosen.push(class),
                    Err(reason) => {
                        let (part, model, last) = (Shown(part), &model.name, count.saturating_sub(1));
                        let message = format!(
                            "class is `{part}`: {reason}; name a label of model `{model}`, or an index from 0 to {last}"
                        );
                        return refused("classes", message);
                    }
                }
            }
        }
        Ok(Self::Named(chosen))
    }
}

fn too_many() -> String {
    format!("more than {MOST_EXPLAINED} classes are to be explained: ask again for the others")
}

/// The class that is meant. A label file may end in labels that are empty, which no parser of names knows of.
fn find(known: &ClassNames, name: &str, count: usize) -> Result<usize, String> {
    match known.find(name) {
        Ok(class) if class < count => Ok(class),
        Ok(_) => Err("no class of this model".to_owned()),
        Err(reason) => Err(reason.to_string()),
    }
}
