//! Which route of the map a path is on: for the spans of requests, whose names must be few whatever clients ask for. Pure.

/// The route that `path` is on, of several the one with more of its letters given; `None` for a path on no route.
///
/// * `routes`: as a client author writes them, `/v1/models/{model}:classify`
pub(super) fn route_of<'r>(routes: impl IntoIterator<Item = &'r str>, path: &str) -> Option<&'r str> {
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    routes
        .into_iter()
        .filter(|route| fits(route, path))
        .max_by_key(|route| literals(route).map(str::len).sum::<usize>())
}

/// What a route is called in few letters: its verb, else the last of its segments that is no name of the client's.
pub(super) fn short_name(route: &str) -> &str {
    let last = route.rsplit('/').find_map(|segment| match segment.rsplit_once('}') {
        Some((_, verb)) => Some(verb.trim_start_matches(':')).filter(|verb| !verb.is_empty()),
        None => Some(segment).filter(|segment| !segment.is_empty()),
    });
    last.unwrap_or(route)
}

fn fits(route: &str, path: &str) -> bool {
    let (mut patterns, mut segments) = (route.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if is_of(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// Whether a segment is what `pattern` says, `{model}:classify` for instance: each name in braces stands for one letter at least.
fn is_of(pattern: &str, segment: &str) -> bool {
    let mut pieces = literals(pattern);
    let Some(mut rest) = pieces.next().and_then(|first| segment.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        let Some(first) = rest.chars().next().map(char::len_utf8) else { return false };
        if pieces.peek().is_none() {
            return rest.get(first..).is_some_and(|rest| rest.ends_with(piece));
        }
        let Some((_, behind)) = rest.get(first..).and_then(|rest| rest.split_once(piece)) else { return false };
        rest = behind;
    }
    false
}

/// What stands around the names in braces: one piece more than there are names.
fn literals(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('{').enumerate().map(|(place, piece)| match place {
        0 => piece,
        _ => piece.split_once('}').map_or(piece, |(_, piece)| piece),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: [&str; 6] = [
        "/",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{model}:classify",
        "/v1/models/{model},{other}:classify",
        "/v1/models/{model}/versions/{version}:classify",
    ];

    #[test]
    fn a_path_is_on_the_route_that_says_most_of_it() {
        for (path, route) in [
            ("/", Some("/")),
            ("/v1/models/", Some("/v1/models")),
            ("/v1/models/é", Some("/v1/models/{model}")),
            ("/v1/models/a:b", Some("/v1/models/{model}")),
            ("/v1/models/a:b:classify", Some("/v1/models/{model}:classify")),
            ("/v1/models/a,b:classify", Some("/v1/models/{model},{other}:classify")),
            ("/v1/models/,b:classify", Some("/v1/models/{model}:classify")),
            ("/v1/models/a/versions/3:classify", Some("/v1/models/{model}/versions/{version}:classify")),
            ("/v1/models/a/versions/3", None),
            ("/v1/models/a/b/c/d", None),
            ("/v1", None),
            ("", None),
        ] {
            assert_eq!(route_of(ROUTES, path), route, "{path}");
        }
    }

    #[test]
    fn a_route_is_called_by_its_verb_or_its_last_word() {
        let names = ["/", "models", "models", "classify", "classify", "classify"];
        assert_eq!(ROUTES.map(short_name), names);
    }
}
