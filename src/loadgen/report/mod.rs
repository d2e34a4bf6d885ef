//! What a load came to, for people and programs: [`table`] for terminals, [`json`], [`html`] for browsers.
//!
//! Each writes text and knows nothing of files. Control characters in names are the writer's business.

pub mod html;
pub mod json;
mod plots;
mod subject;
pub mod table;

pub use subject::LoadReport;
