//! Schemas and contents for what no type of ours stands for: what clients send is read without one.

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Array, Content, ContentBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
        example::{Example, ExampleBuilder},
    },
};

/// A picture that every decoder reads: one gray pixel, as PNG.
pub(in crate::server::http) const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNoaGgAAAMEAYF1LgG8AAAAAElFTkSuQmCC";

/// A text.
pub(in crate::server::http) fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// Bytes as they are: a whole body, or a part of a form.
pub(in crate::server::http) fn binary(description: &str) -> ObjectBuilder {
    text(description).format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
}

/// A list of `items`.
pub(in crate::server::http) fn list(items: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    RefOr::T(Schema::Array(Array::new(items)))
}

/// A type's schema by its name.
pub(in crate::server::http) fn reference<T: ToSchema>() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(T::name()))
}

/// A body of one type.
pub(in crate::server::http) fn content(schema: impl Into<RefOr<Schema>>) -> ContentBuilder {
    ContentBuilder::new().schema(Some(schema))
}

/// An example under its name.
pub(in crate::server::http) fn example(name: &str, summary: &str, value: Value) -> (String, RefOr<Example>) {
    (name.to_owned(), ExampleBuilder::new().summary(summary).value(Some(value)).build().into())
}

/// All schemas that `T` needs, its own first.
pub(super) fn schemas<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(T::name().into_owned(), <T as PartialSchema>::schema())];
    T::schemas(&mut schemas);
    schemas
}

/// JSON of the type `T`.
pub(super) fn json<T: ToSchema>(example: Option<Value>) -> Content {
    content(reference::<T>()).example(example).build()
}
