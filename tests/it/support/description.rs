//! The description of the API, and whether an answer is as it says.
//!
//! A small reader of JSON Schema: as much as the description uses, and a panic for what it does not know, so that nothing is passed over.
//! Stricter than the standard in one thing: an object whose keys are listed has no others, unless its schema says so.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::http::Answer;

/// Headers of answers that every server has, and those that belong to a connection.
const USUAL: [&str; 10] = [
    "content-type",
    "content-length",
    "date",
    "connection",
    "vary",
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "transfer-encoding",
];

/// The description of this server.
pub(crate) struct Description(Value);

impl Description {
    pub(crate) fn get() -> &'static Self {
        static DESCRIPTION: OnceLock<Description> = OnceLock::new();
        DESCRIPTION.get_or_init(|| Self(serde_json::from_slice(&resnetd::server::openapi()).expect("JSON")))
    }

    /// Path, method and what is said, of every route.
    pub(crate) fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        let operations = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (path.clone(), method.to_ascii_uppercase(), operation))
        });
        operations.collect()
    }

    /// What is said of a request.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<&Value> {
        let method = if method == "HEAD" { "GET" } else { method };
        let found = self.operations().into_iter().find(|(known, its, _)| its == method && fits(known, path));
        found.map(|(.., operation)| operation)
    }

    /// Whether an answer is as the description says.
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let schemas = Schemas::of(&self.0);
        // gRPC has the same port and a description of its own.
        if answer.header("content-type").is_some_and(|its| its.starts_with("application/grpc")) {
            return Ok(());
        }
        let path = path.split('?').next().unwrap_or_default();
        let error = |status: &str| {
            let responses = self.0["components"]["responses"].as_object().expect("responses");
            let of_status = responses
                .values()
                .find(|response| response["content"]["application/json"]["example"]["code"] == status);
            of_status.cloned().ok_or(format!("no refusal {status}"))
        };
        let response = match self.find(method, path) {
            Some(operation) => {
                let status = answer.status.to_string();
                let known = operation["responses"].get(&status);
                // Of a request that is no request of the route: another method is looked at below, the rest is named.
                known.map(|response| schemas.resolved(response).clone()).ok_or(format!("{status} is not documented"))?
            }
            None if answer.status == 405 => error("METHOD_NOT_ALLOWED")?,
            // CORS answers by itself.
            None if method == "OPTIONS" => return Ok(()),
            // Vertex AI's routes are whatever the platform says.
            None if answer.status != 404 => return Ok(()),
            None => error("NOT_FOUND")?,
        };
        let documented = response["headers"].as_object();
        for (name, _) in &answer.headers {
            let is_usual = USUAL.contains(&name.as_str()) || name.starts_with("access-control-");
            if !is_usual && !documented.is_some_and(|documented| documented.contains_key(name)) {
                return Err(format!("header `{name}` of {} is not documented", answer.status));
            }
        }
        if method == "HEAD" {
            return Ok(());
        }
        if response["content"].is_null() && answer.body.is_empty() {
            return Ok(());
        }
        let content_type = answer.header("content-type").unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default();
        let content = response["content"].get(essence).ok_or(format!("{essence:?} is not documented"))?;
        if essence != "application/json" {
            return Ok(());
        }
        let document = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        schemas.check(&content["schema"], &document)
    }
}

/// Whether a path is of a template.
fn fits(template: &str, path: &str) -> bool {
    // Two slashes are no root.
    let path = if path.len() > 2 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let (mut parts, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), segments.next()) {
            (None, None) => return true,
            (Some(part), Some(segment)) => {
                let (name, verb) = part.rsplit_once(':').map_or((part, None), |(name, verb)| (name, Some(verb)));
                let segment = segment.replace("%3A", ":").replace("%3a", ":");
                let (given, its) =
                    segment.rsplit_once(':').map_or((&*segment, None), |(name, verb)| (name, Some(verb)));
                let is_it = match (name.starts_with('{'), verb, its) {
                    (false, ..) => part == segment,
                    (true, None, None) => !segment.is_empty(),
                    // The verb decides, also of a name that has a colon; several models have commas between.
                    (true, verb, its) => verb == its && !given.is_empty() && name.contains(',') == given.contains(','),
                };
                if !is_it {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The schemas of a document.
pub(crate) struct Schemas<'d>(&'d Value);

impl<'d> Schemas<'d> {
    pub(crate) fn of(document: &'d Value) -> Self {
        Self(document)
    }

    /// What a reference leads to; the value itself where it is none.
    fn resolved<'v>(&self, value: &'v Value) -> &'v Value
    where
        'd: 'v,
    {
        match value["$ref"].as_str() {
            None => value,
            Some(place) => {
                let found = place.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer));
                found.unwrap_or_else(|| panic!("{place} leads nowhere"))
            }
        }
    }

    /// Whether a value is of a schema.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = match self.resolved(schema) {
            Value::Bool(true) => return Ok(()),
            Value::Object(schema) => schema,
            other => panic!("{other} is no schema"),
        };
        let shown = value.to_string().chars().take(200).collect::<String>();
        let wrong = |what: String| Err(format!("{what}: {shown}"));
        for (keyword, rule) in schema {
            let holds = match keyword.as_str() {
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|one| is_of(one, value)),
                    one => is_of(one, value),
                },
                "enum" => rule.as_array().expect("a list").contains(value),
                "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
                "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
                "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().expect("a number")),
                "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= rule.as_u64().expect("a number")),
                "maxLength" => {
                    value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().expect("a number"))
                }
                "required" => {
                    let names = rule.as_array().expect("a list").iter();
                    let missing =
                        names.filter_map(Value::as_str).find(|name| value.is_object() && value.get(name).is_none());
                    match missing {
                        None => true,
                        Some(missing) => return wrong(format!("without `{missing}`")),
                    }
                }
                "items" => {
                    value.as_array().into_iter().flatten().try_for_each(|entry| self.check(rule, entry))?;
                    true
                }
                "oneOf" | "anyOf" => {
                    let shapes = rule.as_array().expect("a list").iter();
                    let tried: Vec<_> = shapes.map(|shape| self.check(shape, value)).collect();
                    let fitting = tried.iter().filter(|tried| tried.is_ok()).count();
                    if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                        return wrong(format!("{fitting} shapes fit {tried:?}"));
                    }
                    true
                }
                "allOf" => {
                    rule.as_array().expect("a list").iter().try_for_each(|shape| self.check(shape, value))?;
                    true
                }
                "properties" => {
                    for (name, property) in rule.as_object().expect("an object") {
                        if let Some(value) = value.get(name) {
                            self.check(property, value).map_err(|wrong| format!("`{name}`: {wrong}"))?;
                        }
                    }
                    true
                }
                "additionalProperties"
                | "format"
                | "contentEncoding"
                | "description"
                | "title"
                | "default"
                | "example"
                | "examples"
                | "propertyNames" => true,
                other => panic!("the keyword {other} is not known here"),
            };
            if !holds {
                return wrong(format!("not of {keyword} {rule}"));
            }
        }
        self.check_others(schema, value)
    }

    /// The keys of an object that its schema does not list.
    fn check_others(&self, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let listed = schema.get("properties").and_then(Value::as_object);
        let Some(fields) = value.as_object() else { return Ok(()) };
        let rule = match (schema.get("additionalProperties"), listed) {
            (Some(rule), _) => rule,
            (None, Some(_)) => &Value::Bool(false),
            (None, None) => return Ok(()),
        };
        for (name, value) in fields {
            if listed.is_some_and(|listed| listed.contains_key(name)) {
                continue;
            }
            match rule {
                Value::Bool(false) => return Err(format!("`{name}` is not documented")),
                rule => self.check(rule, value)?,
            }
        }
        Ok(())
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}
