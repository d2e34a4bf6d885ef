//! How a route is found, by which methods, and what is said of it: there is no way to have a route that is not described.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodRouter, any, get, post},
};
use utoipa::openapi::HttpMethod;

use super::{
    description::{Described, RouteEntry},
    door::HttpDoor,
    error::Failure,
};

type Methods = MethodRouter<Arc<HttpDoor>>;

/// Routes that are found with and without a slash at their end, each with its description.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Arc<HttpDoor>>,
    entries: Vec<RouteEntry>,
}

impl Routes {
    /// A route that is only read.
    pub(super) fn get<H: Handler<T, Arc<HttpDoor>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        described: Described,
    ) -> Self {
        let methods = get(handler).fallback(async |method: Method| Failure::method(&method, Failure::GET));
        self.entry(path, HttpMethod::Get, described).route(path, methods)
    }

    /// A route that takes a body.
    pub(super) fn post<H: Handler<T, Arc<HttpDoor>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        described: Described,
    ) -> Self {
        let methods = post(handler).fallback(async |method: Method| Failure::method(&method, Failure::POST));
        self.entry(path, HttpMethod::Post, described).route(path, methods)
    }

    /// A route that takes a body by either method.
    pub(super) fn post_or_put<H: Handler<T, Arc<HttpDoor>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        post_described: Described,
        put_described: Described,
    ) -> Self {
        let methods = post(handler.clone()).put(handler);
        let methods = methods.fallback(async |method: Method| Failure::method(&method, Failure::POST_OR_PUT));
        self.entry(path, HttpMethod::Post, post_described)
            .entry(path, HttpMethod::Put, put_described)
            .route(path, methods)
    }

    /// A route whose handler looks at method and verb itself: `path` alone is read, `path:verb` takes a body.
    ///
    /// * `read`: what is said of `path`
    /// * `verbs`: what is said of each verb, by its name
    pub(super) fn with_verbs<H: Handler<T, Arc<HttpDoor>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        read: Described,
        verbs: impl IntoIterator<Item = (&'static str, Described)>,
    ) -> Self {
        let read = self.entry(path, HttpMethod::Get, read);
        let described = verbs.into_iter().fold(read, |routes, (verb, described)| {
            routes.entry(&format!("{path}:{verb}"), HttpMethod::Post, described)
        });
        described.route(path, any(handler))
    }

    /// What is said of a path that takes a body and is answered by the handler of another route.
    pub(super) fn of_another(self, path: &str, described: Described) -> Self {
        self.entry(path, HttpMethod::Post, described)
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        let mut entries = self.entries;
        entries.extend(others.entries);
        Self { router: self.router.merge(others.router), entries }
    }

    /// The router, and what is said of its routes.
    pub(super) fn into_parts(self) -> (Router<Arc<HttpDoor>>, Vec<RouteEntry>) {
        (self.router, self.entries)
    }

    fn entry(mut self, path: &str, method: HttpMethod, described: Described) -> Self {
        self.entries.push(RouteEntry { path: path.to_owned(), method, described });
        self
    }

    fn route(self, path: &str, methods: Methods) -> Self {
        let with_slash = match path.ends_with('/') {
            true => self.router,
            false => self.router.route(&format!("{path}/"), methods.clone()),
        };
        Self { router: with_slash.route(path, methods), ..self }
    }
}
