//! The API description: what a client author reads of every route, as an OpenAPI document.
//!
//! `described` is what the table of routes says of one route, in the words of `parameter`, `answer_header` and `refusal`;
//! `document` makes the page of all of them. The routes are described beside their handlers.
//!
//! Knows the forms on the wire. Must not know a route, a handler, or a stage behind the service.

mod answer_header;
mod described;
mod document;
mod parameter;
mod refusal;
mod shape;
mod tag;

pub(super) use answer_header::AnswerHeader;
pub(super) use described::Described;
pub(super) use document::{RouteEntry, write};
pub(super) use parameter::{ModelInPath, header_parameter};
pub(super) use refusal::RefusalStatus;
pub(super) use shape::{PIXEL, binary, content, example, list, reference, text};
pub(super) use tag::Tag;
