//! Reading a request's body into one piece of memory, within the limits of size and time.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::HeaderMap,
};
use bytes::{Bytes, BytesMut};
use hyper::body::Frame;

use super::{call::HttpCall, door::HttpDoor, encoding, error::Failure};
use crate::service::{Charge, Error, ErrorKind, Shown};

/// The most memory that a body's announced length reserves before its bytes are there.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// Reads the whole body, and unpacks it where its headers say that it is packed.
///
/// # Errors
/// `UNSUPPORTED_FORMAT` for a coding that is not read, before anything is; those of [`read`]; `INVALID_ARGUMENT` and `TOO_LARGE` for
/// what does not unpack.
pub(super) async fn read_unpacked(
    door: &HttpDoor,
    headers: &HeaderMap,
    body: Body,
    call: &HttpCall,
    charge: &Arc<Charge>,
) -> Result<Bytes, Failure> {
    let coding = encoding::coding(headers)?;
    let limit = door.service().max_body_bytes();
    let body = read(body, limit, door.options().body_timeout, call, charge).await?;
    match coding.filter(|_| !body.is_empty()) {
        Some(coding) => {
            let charge = charge.clone();
            Ok(door.unpacker().unpack(coding, body, limit, move |bytes| charge.add(bytes)).await?)
        }
        None => Ok(body),
    }
}

/// Reads the whole body. A small one that came in one piece is not copied.
///
/// # Errors
/// `TOO_LARGE` from the announced length before anything is read, or as soon as more than `limit` bytes came;
/// `REQUEST_TIMEOUT` after `timeout`; `INVALID_ARGUMENT` when it ended early;
/// `OVERLOADED` when the requests in work leave no memory for what came, or need what it took while its client was slow.
async fn read(
    body: Body,
    limit: usize,
    timeout: Duration,
    call: &HttpCall,
    charge: &Arc<Charge>,
) -> Result<Bytes, Failure> {
    let read = match body.size_hint().exact() {
        Some(announced) if announced > limit as u64 => Err(too_large(Some(announced), limit)),
        announced => {
            match tokio::time::timeout(timeout, collect(body, announced.unwrap_or(0) as usize, limit, charge)).await {
                Ok(read) => read,
                Err(_) => Err(Failure::timeout(timeout)),
            }
        }
    };
    match read {
        Ok(_) => call.note_body_read(),
        Err(_) => call.note_body_given_up(),
    }
    read
}

async fn collect(mut body: Body, announced: usize, limit: usize, charge: &Arc<Charge>) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = next(&mut body, charge).await {
        let Ok(data) = frame?.into_data() else { continue };
        charge.came(data.len())?;
        if whole.is_empty() && data.len() == announced {
            return Ok(data);
        }
        if whole.len() + data.len() > limit {
            return Err(too_large(None, limit));
        }
        if whole.is_empty() {
            whole.reserve(announced.min(MAX_RESERVED_BYTES).max(data.len()));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next frame, or the refusal where what came so far was needed for others in the meantime.
async fn next(body: &mut Body, charge: &Arc<Charge>) -> Option<Result<Frame<Bytes>, Failure>> {
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(|error| broken(&error)))),
        Poll::Pending => charge.poll_given_up(cx).map(|error| Some(Err(error.into()))),
    })
    .await
}

fn too_large(announced: Option<u64>, limit: usize) -> Failure {
    let found = announced.map_or_else(|| format!("has more than {limit} bytes"), |size| format!("has {size} bytes"));
    let message = format!("the body {found}, the limit is {limit}: send a smaller image, or fewer at a time");
    Error::new(ErrorKind::TooLarge, message).into()
}

fn broken(error: &axum::Error) -> Failure {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("the body ended before it was complete: {}", Shown(&error.to_string())),
    )
    .into()
}
