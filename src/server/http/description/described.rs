//! One route as a client author reads of it.

use serde_json::Value;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Content, RefOr, Response, ResponseBuilder, Schema,
        path::{Operation, OperationBuilder, Parameter, ParameterIn},
        request_body::RequestBody,
    },
};

use super::{
    answer_header::AnswerHeader,
    parameter::{CommonHeader, ModelInPath},
    refusal::RefusalStatus,
    shape::{json, schemas},
    tag::Tag,
};

/// What a route takes and gives.
pub(in crate::server::http) struct Described {
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Described {
    /// * `id`: what generated clients call it, unlike every other
    /// * `summary`: one line
    /// * `text`: Markdown
    pub(in crate::server::http) fn new(tag: Tag, id: &str, summary: &str, text: &str) -> Self {
        let operation = OperationBuilder::new()
            .tag(tag.name())
            .operation_id(Some(id))
            .summary(Some(summary))
            .description(Some(text))
            .parameter_ref(CommonHeader::RequestId.reference());
        let described = Self { operation, schemas: Vec::new() };
        described.refuses([
            RefusalStatus::InvalidArgument,
            RefusalStatus::Unauthenticated,
            RefusalStatus::PermissionDenied,
            RefusalStatus::Overloaded,
            RefusalStatus::UriTooLong,
            RefusalStatus::HeadersTooLarge,
            RefusalStatus::Internal,
            RefusalStatus::Unavailable,
        ])
    }

    /// The same for a model, or a version of it: with the names in the path, and with what is said where there is none.
    pub(in crate::server::http) fn of_model(place: ModelInPath, tag: Tag, id: &str, summary: &str, text: &str) -> Self {
        let (id, summary) = (format!("{id}{}", place.suffix()), format!("{summary}{}", place.of_it()));
        let described = Self::new(tag, &id, &summary, text);
        place.parameters().into_iter().fold(described, Self::parameter).refuses([RefusalStatus::NotFound])
    }

    /// A parameter.
    pub(in crate::server::http) fn parameter(self, parameter: Parameter) -> Self {
        Self { operation: self.operation.parameter(parameter), ..self }
    }

    /// The parameters of the query.
    pub(in crate::server::http) fn query<T: IntoParams>(self) -> Self {
        T::into_params(|| Some(ParameterIn::Query)).into_iter().fold(self, Self::parameter)
    }

    /// A body, with what is said where it does not arrive or fit.
    pub(in crate::server::http) fn body(self, body: RequestBody) -> Self {
        let operation =
            self.operation.request_body(Some(body)).parameter_ref(CommonHeader::ContentEncoding.reference());
        Self { operation, ..self }.refuses([
            RefusalStatus::RequestTimeout,
            RefusalStatus::TooLarge,
            RefusalStatus::UnsupportedFormat,
            RefusalStatus::Overloaded,
        ])
    }

    /// It is put into the line: what has a trace and a deadline, and may fail in the engine.
    pub(in crate::server::http) fn inference(self) -> Self {
        let operation = self.operation.parameter_ref(CommonHeader::TraceParent.reference());
        let operation = operation.parameter_ref(CommonHeader::LoadFormat.reference());
        Self { operation, ..self }.refuses([RefusalStatus::DeadlineExceeded])
    }

    /// Adds the schema of a type that only a schema by hand refers to.
    pub(in crate::server::http) fn knows<T: ToSchema>(mut self) -> Self {
        self.schemas.extend(schemas::<T>());
        self
    }

    /// The answer is JSON of the type `T`.
    pub(in crate::server::http) fn answers<T: ToSchema>(self, text: &str, example: Value) -> Self {
        self.knows::<T>().answers_with(text, [("application/json", json::<T>(Some(example)))], &[])
    }

    /// The answer is one of several contents.
    pub(in crate::server::http) fn answers_with<'c>(
        self,
        text: &str,
        contents: impl IntoIterator<Item = (&'c str, Content)>,
        headers: &[AnswerHeader],
    ) -> Self {
        let mut response = ResponseBuilder::new().description(text);
        for (content_type, content) in contents {
            response = response.content(content_type, content);
        }
        for header in AnswerHeader::EVERYWHERE.iter().chain(headers) {
            response = response.header_ref(header.name(), header.reference());
        }
        Self { operation: self.operation.response("200", response.build()), ..self }
    }

    /// Adds a header to the answer that is there.
    pub(in crate::server::http) fn tells(mut self, header: AnswerHeader) -> Self {
        let mut operation = self.operation.build();
        if let Some(RefOr::T(Response { headers, .. })) = operation.responses.responses.get_mut("200") {
            headers.insert(header.name().to_owned(), RefOr::Ref(header.reference()));
        }
        self.operation = operation.into();
        self
    }

    /// Adds another content of the answer that is there.
    pub(in crate::server::http) fn or_gives(mut self, content_type: &str, content: Content) -> Self {
        let mut operation = self.operation.build();
        if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
            response.content.insert(content_type.to_owned(), RefOr::T(content));
        }
        self.operation = operation.into();
        self
    }

    /// Who has it already is answered without a body.
    pub(in crate::server::http) fn or_unchanged(self) -> Self {
        let response = ResponseBuilder::new().description("`if-none-match` has its `etag`: it is the same as before.");
        let headers = [AnswerHeader::RequestId, AnswerHeader::EntityTag].into_iter();
        let response =
            headers.fold(response, |response, header| response.header_ref(header.name(), header.reference()));
        Self { operation: self.operation.response("304", response.build()), ..self }.tells(AnswerHeader::EntityTag)
    }

    /// Refusals that come here for the reason that they come everywhere.
    pub(in crate::server::http) fn refuses(self, refusals: impl IntoIterator<Item = RefusalStatus>) -> Self {
        refusals.into_iter().fold(self, |described, refusal| described.refuse(refusal, None))
    }

    /// A refusal, with words of its own.
    pub(in crate::server::http) fn refuses_because(self, refusal: RefusalStatus, words: &str) -> Self {
        self.refuse(refusal, Some(words))
    }

    fn refuse(self, refusal: RefusalStatus, words: Option<&str>) -> Self {
        Self { operation: self.operation.response(refusal.status(), refusal.reference(words)), ..self }
    }

    pub(super) fn into_parts(self) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        (self.operation.build(), self.schemas)
    }
}
