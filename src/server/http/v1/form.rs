//! The forms in which a body carries images: the file itself, a form with files, or JSON.
//!
//! The content type decides between form and JSON; everything else is taken for a file, whatever its type says, because
//! clients name it as they like (`curl --data-binary` sends `application/x-www-form-urlencoded`) and the decoder tells by the bytes.

use std::sync::Arc;

use axum::http::{
    HeaderMap,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use multer::{Field, Multipart};

use super::{
    json,
    options::{BadOption, RequestOptions},
    upload::{Dialect, Upload},
};
use crate::{
    server::threads::{Threads, is_large},
    service::{Charge, Error, ErrorKind, Shown},
};

/// The most parts of a form that are no files. There are six options, and the last of one name counts; a client that sends more
/// makes work.
const MOST_OPTIONS: usize = 16;

/// JSON without its content type is known by its first byte that is no white space, if that is one of so many.
const LOOKED_AT_BYTES: usize = 4 << 10;

#[derive(Debug, PartialEq)]
enum Form {
    File,
    Multipart,
    Json,
}

/// Takes the images out of `body`; sets the options that it carries. Stops after `max_images` + 1: the service refuses so many.
///
/// A file is passed on as it is. What has to be taken apart is, on one of `threads` where it is large.
pub(super) async fn parse(
    headers: &HeaderMap,
    body: Bytes,
    options: &mut RequestOptions,
    max_images: usize,
    charge: &Arc<Charge>,
    threads: &Threads,
) -> Result<Upload, BadOption> {
    let content_type = content_type(headers);
    let form = form(content_type, &body);
    if form == Form::File {
        let is_form = essence(content_type).eq_ignore_ascii_case("application/x-www-form-urlencoded");
        return Ok(Upload { images: vec![body], dialect: Dialect::Own, is_form });
    }
    // What is taken out of it is a copy.
    charge.add(body.len()).map_err(BadOption::Refused)?;
    let (content_type, charge, mut theirs) = (content_type.to_owned(), charge.clone(), options.clone());
    let parsed = threads.run_if(is_large(&body), move || {
        // As long as the thread has the memory, whether or not the client still waits.
        let _charge = charge;
        let upload = match form {
            Form::Multipart => multipart(&content_type, body, &mut theirs, max_images)?,
            _ => json::parse(&body, &mut theirs, max_images)?,
        };
        Ok((upload, theirs))
    });
    let (upload, theirs) = parsed.await.map_err(BadOption::Refused)??;
    *options = theirs;
    Ok(upload)
}

/// Whether a body is JSON.
pub(super) fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    form(content_type(headers), body) == Form::Json
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The form of a body. No image format starts with a brace, so JSON without its content type is found as well.
fn form(content_type: &str, body: &[u8]) -> Form {
    let essence = essence(content_type);
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let starts = |prefix: &str| essence.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let looks_like_json = || {
        let mut start = json::without_mark(body).iter().take(LOOKED_AT_BYTES);
        start.find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    };
    if is("multipart/form-data") {
        Form::Multipart
    } else if is("application/json") || (!starts("image/") && looks_like_json()) {
        Form::Json
    } else {
        Form::File
    }
}

/// The type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Every part that is a file, or named `image`, is an image; the others are options.
fn multipart(
    content_type: &str,
    body: Bytes,
    options: &mut RequestOptions,
    max_images: usize,
) -> Result<Upload, BadOption> {
    // All of the body is there: there is nothing to wait for.
    let taken_apart = parts(content_type, body, options, max_images).now_or_never();
    taken_apart.unwrap_or_else(|| Err(BadOption::Other("the multipart body ends early: send all of it".to_owned())))
}

async fn parts(
    content_type: &str,
    body: Bytes,
    options: &mut RequestOptions,
    max_images: usize,
) -> Result<Upload, BadOption> {
    let broken = |error: multer::Error| {
        BadOption::Other(format!("the multipart body cannot be read: {}", Shown(&error.to_string())))
    };
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let mut parts = Multipart::new(tokio_stream::once(Ok::<_, std::convert::Infallible>(body)), boundary);
    let (mut images, mut others) = (Vec::new(), 0);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        if is_file(&part) || part.name().is_none_or(|name| matches!(name, "image" | "images" | "image[]")) {
            images.push(part.bytes().await.map_err(broken)?);
            if images.len() > max_images {
                break;
            }
        } else {
            others += 1;
            if others > MOST_OPTIONS {
                let message =
                    format!("the form has more than {MOST_OPTIONS} parts that are no files: send each option once");
                return Err(BadOption::Refused(Error::new(ErrorKind::TooLarge, message)));
            }
            let name = part.name().unwrap_or_default().to_owned();
            options.set(&name, part.text().await.map_err(broken)?.trim())?;
        }
    }
    if images.is_empty() {
        let message = "the form has no file: send one or more parts named `image`, as `curl -F image=@cat.jpg` does";
        return Err(BadOption::Other(message.to_owned()));
    }
    Ok(Upload { images, dialect: Dialect::Own, is_form: false })
}

/// Whether a part has a file name: plain, or only in the form for other alphabets, `filename*=UTF-8''caf%C3%A9.jpg`, which the
/// parser leaves alone.
fn is_file(part: &Field<'_>) -> bool {
    let disposition = part.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes()).unwrap_or_default();
    part.file_name().is_some() || parameters(disposition).any(|parameter| is_named(parameter, b"filename*"))
}

/// The parameters of a header's value, `name=value` each; a semicolon in quotes parts nothing.
fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |byte| {
        let parts = *byte == b';' && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        parts
    });
    parts.skip(1)
}

fn is_named(parameter: &[u8], name: &[u8]) -> bool {
    let mut sides = parameter.splitn(2, |byte| *byte == b'=');
    let is = sides.next().is_some_and(|side| side.trim_ascii().eq_ignore_ascii_case(name));
    is && sides.next().is_some()
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;

    use super::*;
    use crate::{
        service::{RequestLimits, Service},
        telemetry::Metrics,
    };

    #[test]
    fn the_form_follows_the_content_type_then_the_bytes() {
        let jpeg = [0xff, 0xd8, 0xff];
        for content_type in
            ["", "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"]
        {
            assert_eq!(form(content_type, &jpeg), Form::File, "{content_type}");
        }
        assert_eq!(form("application/json; charset=utf-8", &jpeg), Form::Json);
        assert_eq!(form("Application/JSON", b"[]"), Form::Json);
        assert_eq!(form("application/x-www-form-urlencoded", b" \n{\"instances\""), Form::Json);
        assert_eq!(form("", b"\xef\xbb\xbf {"), Form::Json);
        assert_eq!(form("image/jpeg", b"{"), Form::File);
        assert_eq!(form("multipart/form-data; boundary=x", b""), Form::Multipart);
    }

    #[test]
    fn a_form_gives_its_files_in_order_and_its_options() {
        let body = "--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\nfirst\r\n\
                    --x\r\ncontent-disposition: form-data; name=\"top_k\"\r\n\r\n3\r\n\
                    --x\r\ncontent-disposition: form-data; name=\"data\"; filename=\"b.jpg\"\r\n\r\nsecond\r\n--x--\r\n";
        let mut options = RequestOptions::default();
        let upload = multipart("multipart/form-data; boundary=x", body.into(), &mut options, 8).expect("valid");
        assert_eq!(upload.images, ["first", "second"]);
        assert_eq!(options.classes.top_k, Some(3));
    }

    #[test]
    fn a_part_with_a_file_name_in_another_alphabet_only_is_a_file() {
        for (disposition, is_file) in [
            ("form-data; name=\"data\"; filename*=UTF-8''caf%C3%A9.jpg", true),
            ("form-data; FileName*=UTF-8''a; name=data", true),
            ("form-data; name=\"a; filename*=b\"", false),
            ("form-data; name=\"a\\\"; filename*=b\"", false),
            ("form-data; name=\"data\"; filename*", false),
        ] {
            let body = format!("--x\r\ncontent-disposition: {disposition}\r\n\r\nbytes\r\n--x--\r\n");
            let mut options = RequestOptions::default();
            let upload = multipart("multipart/form-data; boundary=x", body.into(), &mut options, 8);
            assert_eq!(upload.map(|upload| upload.images).ok(), is_file.then(|| vec!["bytes".into()]), "{disposition}");
        }
    }

    #[test]
    fn no_message_repeats_more_than_200_characters_of_a_form() {
        let long = "x".repeat(8 << 20);
        for body in [
            format!("--cut\r\ncontent-disposition: form-data; name=\"{long}\"\r\n\r\n1\r\n--cut--\r\n"),
            format!("--cut\r\ncontent-disposition: form-data; name=top_k\r\n\r\n{long}\r\n--cut--\r\n"),
            format!("--cut\r\n{long}: 1\r\n\r\n1\r\n--cut--\r\n"),
            format!("--cut\r\n{long}\r\n\r\n1\r\n--cut--\r\n"),
            format!("--cut\r\ncontent-type: {long}\r\n\r\n1\r\n--cut"),
            format!("{long}\r\n"),
        ] {
            let mut options = RequestOptions::default();
            let result = multipart("multipart/form-data; boundary=cut", body.into(), &mut options, 8);
            let message = result.expect_err("refused").into_error(None).message;
            let repeated = message.matches('x').count();
            assert!(repeated <= 200 && message.len() < 500, "{repeated} in {message:.600}");
        }
    }

    #[test]
    fn a_broken_form_is_refused() {
        for (content_type, body) in [
            ("multipart/form-data", "--x--\r\n"),
            ("multipart/form-data; boundary=x", ""),
            ("multipart/form-data; boundary=x", "--x--\r\n"),
            ("multipart/form-data; boundary=x", "--x\r\ncontent-disposition: form-data; name=\"image\"\r\n\r\ncut"),
        ] {
            let result = multipart(content_type, body.into(), &mut RequestOptions::default(), 8);
            assert!(matches!(result, Err(BadOption::Other(_))), "{content_type} {body:?}: {result:?}");
        }
    }

    fn option(value: &str) -> String {
        format!("--x\r\ncontent-disposition: form-data; name=top_k\r\n\r\n{value}\r\n")
    }

    #[test]
    fn a_form_of_tiny_parts_is_read_as_far_as_there_can_be_options() {
        let refused = |body: String| {
            let body = format!("{body}--x--");
            let bad = multipart("multipart/form-data; boundary=x", body.into(), &mut RequestOptions::default(), 8);
            bad.expect_err("refused").into_error(Some(10))
        };
        // Were it read on, what is behind would be what is wrong.
        let error = refused(option("1").repeat(MOST_OPTIONS + 1) + &option("no number"));
        assert_eq!((error.kind, error.message.contains("16 parts")), (ErrorKind::TooLarge, true), "{error}");
        let error = refused(option("1").repeat(MOST_OPTIONS - 1) + &option("no number"));
        assert!(error.message.contains("no number"), "{error}");
    }

    #[tokio::test]
    async fn what_is_large_is_taken_apart_on_another_thread() {
        let service = Service::new(RequestLimits::default(), 1, Metrics::new(false)).0;
        let threads = Threads::new();
        let held = threads.hold_all().await;
        let file = "--x\r\ncontent-disposition: form-data; name=image\r\n\r\n";
        let space = " ".repeat(64 << 10);
        let mut waiting = Vec::new();
        for (content_type, start, end, goes_elsewhere) in [
            ("image/png", "", "", false),
            ("application/json", "", r#"{"instances":["AQID"]}"#, true),
            ("multipart/form-data; boundary=x", file, "\r\n--x--", true),
        ] {
            for (space, goes_elsewhere) in [("", false), (&*space, goes_elsewhere)] {
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("a value"))]);
                let body = Bytes::from([start, space, end].concat());
                let (service, threads) = (service.clone(), threads.clone());
                let mut parsing = Box::pin(async move {
                    let charge = service.open_charge().expect("there is room");
                    parse(&headers, body, &mut RequestOptions::default(), 8, &charge, &threads).await
                });
                match poll!(parsing.as_mut()) {
                    Poll::Ready(upload) => {
                        assert!(!goes_elsewhere, "{content_type}");
                        assert_eq!(upload.expect("valid").images.len(), 1, "{content_type}");
                    }
                    Poll::Pending => {
                        assert!(goes_elsewhere, "{content_type}");
                        waiting.push(parsing);
                    }
                }
            }
        }
        drop(held);
        for parsing in waiting {
            assert_eq!(parsing.await.expect("valid").images.len(), 1);
        }
    }

    #[test]
    fn a_body_of_white_space_is_not_looked_through() {
        let spaces = |count| [" ".repeat(count).as_bytes(), b"{"].concat();
        assert_eq!(form("", &spaces(LOOKED_AT_BYTES - 1)), Form::Json);
        assert_eq!(form("", &spaces(LOOKED_AT_BYTES)), Form::File);
    }
}
