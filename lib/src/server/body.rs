//! Reading a request's body within the limits.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use super::service::Service;
use crate::error::{Code, RpcError};

/// A body that counts against the limit for as long as any part of it lives: a handler may outlive its caller, and the
/// calls of a batch outlive the head of their response.
struct Counted {
    body: Bytes,
    _held: OwnedSemaphorePermit,
}

impl Counted {
    fn keep(body: Bytes, held: Option<OwnedSemaphorePermit>) -> Bytes {
        match held {
            Some(held) => Bytes::from_owner(Self { body, _held: held }),
            // An empty body holds nothing.
            None => body,
        }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// How much room is made at once for what a body says it has. More comes when it is needed.
const RESERVED_BYTES_MAX: usize = 256 << 10;

/// Reads a body within the limits. One that is too large is read to its end and dropped, so that the peer, which
/// is still sending, can read the refusal.
pub(super) async fn read(
    service: &Service,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, (StatusCode, RpcError)> {
    let limits = service.limits();
    let too_large = || {
        let error = RpcError::resource_exhausted(format!("a body may have {} bytes", limits.body_bytes));
        (StatusCode::PAYLOAD_TOO_LARGE, error)
    };
    let announced = body.size_hint().lower();
    let over = announced > limits.body_bytes as u64;
    // Who waits for leave to send it, or wants to send without end, is answered at once.
    if over && (headers.contains_key(header::EXPECT) || announced > limits.refused_body_bytes as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        let mut total = 0;
        let mut held: Option<OwnedSemaphorePermit> = None;
        let mut refused = over.then(too_large);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let error = RpcError::new(Code::InvalidArgument, format!("the body broke off: {error}"));
                (StatusCode::BAD_REQUEST, error)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.len();
            if total > limits.refused_body_bytes {
                return Err(refused.unwrap_or_else(too_large));
            }
            if refused.is_none() && total > limits.body_bytes {
                refused = Some(too_large());
            }
            if refused.is_none() {
                match service.hold_body(data.len()) {
                    Some(permit) => match &mut held {
                        Some(held) => held.merge(permit),
                        None => held = Some(permit),
                    },
                    None => refused = Some(no_room(service)),
                }
            }
            if refused.is_some() {
                whole = BytesMut::new();
                first = None;
                held = None;
                continue;
            }
            // A body that comes in one piece, as nearly all do, is not copied.
            match first.take() {
                None if whole.is_empty() => first = Some(data),
                None => whole.extend_from_slice(&data),
                Some(begin) => {
                    whole.reserve(usize::try_from(announced).unwrap_or(0).min(RESERVED_BYTES_MAX));
                    whole.extend_from_slice(&begin);
                    whole.extend_from_slice(&data);
                }
            }
        }
        match refused {
            Some(refusal) => Err(refusal),
            None => Ok(Counted::keep(first.unwrap_or_else(|| whole.freeze()), held)),
        }
    };
    tokio::time::timeout(limits.body_timeout, read).await.unwrap_or_else(|_| {
        let error = RpcError::deadline_exceeded("the body took too long to arrive").not_executed();
        Err((StatusCode::REQUEST_TIMEOUT, error))
    })
}

fn no_room(service: &Service) -> (StatusCode, RpcError) {
    let limit = service.limits().bodies_bytes;
    let error = RpcError::resource_exhausted(format!("the bodies under way hold {limit} bytes"));
    (error.code().http_status(), error)
}
