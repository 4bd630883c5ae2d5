//! What can go wrong with a call: the 16 codes of the Connect protocol, and whether the request may have run.

pub(crate) mod carried;

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use traitwire_schema::MethodDescriptor;

use crate::log::brief;

/// What a method of a service answers when it has no error type of its own.
pub type RpcResult<T> = Result<T, RpcError>;

/// Why a call failed, by the names and HTTP statuses of the Connect protocol
/// ("Error Codes", <https://connectrpc.com/docs/protocol#error-codes>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The caller gave up.
    Canceled,
    /// Nothing more is known.
    Unknown,
    /// The arguments are wrong, whatever the state of the server.
    InvalidArgument,
    /// The deadline passed before there was an answer.
    DeadlineExceeded,
    /// The thing asked for does not exist.
    NotFound,
    /// The thing to be created exists.
    AlreadyExists,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// A limit with a name was reached.
    ResourceExhausted,
    /// The state of the server does not allow it.
    FailedPrecondition,
    /// A conflict with another call; trying again from the start may work.
    Aborted,
    /// Past the end of what exists.
    OutOfRange,
    /// No such method.
    Unimplemented,
    /// An invariant of the server is broken.
    Internal,
    /// The server cannot be reached or does not serve now.
    Unavailable,
    /// Data is lost or damaged.
    DataLoss,
    /// The caller is not known.
    Unauthenticated,
}

impl Code {
    /// The name on the wire, such as `invalid_argument`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The HTTP status that goes with the code.
    pub fn http_status(self) -> StatusCode {
        let status = match self {
            Self::Canceled => 499,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        };
        StatusCode::from_u16(status).expect("the table holds valid statuses")
    }

    /// The code a bare HTTP status stands for, when something that is no Traitwire server answered.
    pub(crate) fn of_http_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a request that failed may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Executed {
    /// It did not and never will.
    No,
    /// It may have, or still may.
    Unknown,
}

/// A call that failed. On the wire: `{"code": "...", "message": "...", "details": [...]}`, where the first detail of
/// a method that is not read-only has the key `executed`: `"no"` or `"unknown"`. Each detail also has the keys `type` and
/// `value` of the Connect protocol. A message of more than 4 KiB is shortened there.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    // Boxed: results are moved through every layer of a call, and nearly all of them are good.
    inner: Box<Inner>,
}

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    code: Code,
    message: String,
    executed: Option<Executed>,
    details: Vec<Value>,
}

/// The first key of the detail that carries a method's own error.
const TYPED_ERROR: &str = "error";

/// The longest message that is sent as it is, in bytes. A longer one quotes something that nobody reads to its end.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// What the types of details begin with: the entry about execution, a method's own error, anything else.
const DETAIL_TYPE: &str = "traitwire.";

impl RpcError {
    /// An error of a method that may have taken effect before it failed; [`Code::InvalidArgument`],
    /// [`Code::Unimplemented`] and [`Code::Unauthenticated`] are taken to be decided before anything is done.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let executed = match code {
            Code::InvalidArgument | Code::Unimplemented | Code::Unauthenticated => Executed::No,
            _ => Executed::Unknown,
        };
        Self {
            inner: Box::new(Inner {
                code,
                message: message.into(),
                executed: Some(executed),
                details: Vec::new(),
            }),
        }
    }

    /// The arguments are wrong.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// No such method.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, message)
    }

    /// The server cannot be reached or does not serve now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// A limit was reached; refused before anything was done.
    pub fn resource_exhausted(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, message).not_executed()
    }

    /// The deadline passed.
    pub fn deadline_exceeded(message: impl Into<String>) -> Self {
        Self::new(Code::DeadlineExceeded, message)
    }

    /// An invariant is broken.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Promises that the request did not take effect and never will.
    #[must_use]
    pub fn not_executed(self) -> Self {
        self.with_executed(Some(Executed::No))
    }

    /// Takes that promise back: this request, or an earlier copy of it, may have taken effect.
    #[must_use]
    pub fn maybe_executed(self) -> Self {
        self.with_executed(Some(Executed::Unknown))
    }

    /// Adds a JSON value to the details.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.inner.details.push(detail);
        self
    }

    /// Sets what is said about execution; `None` where the question has no meaning (read-only methods).
    #[must_use]
    pub(crate) fn with_executed(mut self, executed: Option<Executed>) -> Self {
        self.inner.executed = executed;
        self
    }

    /// What an error of `method` says of execution: nothing where the method changes nothing, and no promise that was
    /// not given.
    #[must_use]
    pub(crate) fn about(self, method: Option<&MethodDescriptor>) -> Self {
        let executed = match method {
            Some(method) if method.is_read_only() => None,
            Some(_) | None => Some(self.inner.executed.unwrap_or(Executed::Unknown)),
        };
        self.with_executed(executed)
    }

    /// A method's own error that says no more about itself.
    pub(crate) fn of_typed() -> Self {
        Self::new(Code::FailedPrecondition, "the method answered with an error of its own")
    }

    /// Lets this error carry a method's own error, given as JSON.
    #[must_use]
    pub(crate) fn carrying(mut self, typed: Value) -> Self {
        // First, since this error may hold what another method's error carried.
        self.inner.details.insert(0, json!({ TYPED_ERROR: typed }));
        self
    }

    /// The method's own error, where this is one.
    pub(crate) fn typed(&self) -> Option<&Value> {
        self.inner.details.iter().find_map(|detail| detail.get(TYPED_ERROR))
    }

    /// What went wrong, for a program.
    pub fn code(&self) -> Code {
        self.inner.code
    }

    /// What went wrong, for a person.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Whether the request may have taken effect; a read-only request never does.
    pub fn executed(&self) -> Executed {
        self.inner.executed.unwrap_or(Executed::No)
    }

    /// The message as it is sent.
    pub(crate) fn message_brief(&self) -> Cow<'_, str> {
        match &self.inner.message {
            long if long.len() > MESSAGE_BYTES_MAX => Cow::Owned(brief(long)),
            short => Cow::Borrowed(short),
        }
    }

    /// Says of execution what the other error says, in whose place this one stands.
    #[must_use]
    pub(crate) fn executed_like(self, other: &Self) -> Self {
        let executed = other.inner.executed;
        self.with_executed(executed)
    }

    /// Further values, without the one about execution.
    pub fn details(&self) -> &[Value] {
        &self.inner.details
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.code, self.inner.message)
    }
}

impl std::error::Error for RpcError {}

/// The error as it stands in JSON.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    code: Code,
    #[serde(default)]
    message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<Cow<'a, Value>>,
}

/// A detail as it stands in JSON. Connect's clients know a detail by its `type`, and its content by `value`, which is
/// base64 of a message: here of the detail's JSON. Beside them stand the keys of the detail, for people and simple clients.
fn encode_detail(detail: &Value) -> Value {
    let kind = match detail {
        Value::Object(keys) if keys.contains_key("executed") => "Executed",
        Value::Object(keys) if keys.contains_key(TYPED_ERROR) => "Error",
        _ => "Detail",
    };
    let mut entry = match detail {
        Value::Object(keys) => keys.clone(),
        _ => serde_json::Map::new(),
    };
    entry.insert("type".to_owned(), format!("{DETAIL_TYPE}{kind}").into());
    entry.insert("value".to_owned(), STANDARD_NO_PAD.encode(detail.to_string()).into());
    Value::Object(entry)
}

/// The detail that such an entry holds. Servers from before `type` and `value` send the detail itself.
fn decode_detail(entry: Value) -> Value {
    let is_ours = entry.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with(DETAIL_TYPE));
    let value = entry.get("value").and_then(Value::as_str).filter(|_| is_ours);
    let json = value.and_then(|value| {
        let unpadded = value.trim_end_matches('=');
        STANDARD_NO_PAD.decode(unpadded).or_else(|_| STANDARD.decode(value)).ok()
    });
    json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or(entry)
}

impl Serialize for RpcError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let executed = carried::written(self).map(|executed| json!({ "executed": executed }));
        let details = executed.iter().chain(&self.inner.details);
        let details = details.map(|detail| Cow::Owned(encode_detail(detail))).collect();
        Wire { code: self.inner.code, message: self.message_brief(), details }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RpcError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let mut details: Vec<Value> =
            wire.details.into_iter().map(Cow::into_owned).map(decode_detail).collect();
        let executed = details
            .first()
            .and_then(|first| first.get("executed"))
            .and_then(|executed| Executed::deserialize(executed).ok());
        if executed.is_some() {
            details.remove(0);
        }
        let executed = carried::read(executed);
        Ok(Self {
            inner: Box::new(Inner { code: wire.code, message: wire.message.into_owned(), executed, details }),
        })
    }
}

impl JsonSchema for RpcError {
    fn schema_name() -> Cow<'static, str> {
        "RpcError".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Why a call failed, in the JSON of the Connect protocol.",
            "properties": {
                "code": generator.subschema_for::<Code>(),
                "message": { "type": "string", "description": "What went wrong, for a person." },
                "details": {
                    "type": "array",
                    "description": "Of a method that may change state, first whether it was executed; then anything.",
                    "items": true
                }
            },
            "required": ["code", "message"]
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_wire_form_is_connects_and_comes_back_equal() {
        let error = RpcError::unavailable("no leader").with_detail(json!({"hint": 2}));
        let text = serde_json::to_string(&error).unwrap();
        let executed =
            r#"{"executed":"unknown","type":"traitwire.Executed","value":"eyJleGVjdXRlZCI6InVua25vd24ifQ"}"#;
        let hint = r#"{"hint":2,"type":"traitwire.Detail","value":"eyJoaW50IjoyfQ"}"#;
        let wire = r#"{"code":"unavailable","message":"no leader","details":["#;
        assert_eq!(text, format!("{wire}{executed},{hint}]}}"));
        assert_eq!(serde_json::from_str::<RpcError>(&text).unwrap(), error);
        let before = format!(r#"{wire}{{"executed":"unknown"}},{{"hint":2}}]}}"#);
        assert_eq!(serde_json::from_str::<RpcError>(&before).unwrap(), error);
    }

    #[test]
    fn any_value_is_a_detail_and_comes_back_equal() {
        for detail in [
            json!(null),
            json!(3),
            json!(["a"]),
            json!("é"),
            json!({}),
            json!({"type": 1, "value": [2]}),
            json!({"type": "google.rpc.RetryInfo", "value": "CgIIPA"}),
            json!({"type": "traitwire.Detail", "value": "%"}),
            json!({"executed": "no", "error": {"x": 1}}),
        ] {
            for executed in [None, Some(Executed::No)] {
                let error = RpcError::internal("x").with_detail(json!(0)).with_detail(detail.clone());
                let error = error.with_executed(executed);
                let text = serde_json::to_value(&error).unwrap();
                for entry in text["details"].as_array().unwrap() {
                    assert!(entry["type"].is_string() && entry["value"].is_string(), "{entry}");
                }
                let back: RpcError = serde_json::from_value(text).unwrap();
                assert_eq!(back.details(), error.details());
            }
        }
    }

    #[test]
    fn a_message_that_nobody_reads_to_its_end_is_shortened() {
        let error = RpcError::invalid_argument("x".repeat(1 << 20));
        assert!(serde_json::to_string(&error).unwrap().len() < 1_000);
        assert!(crate::jsonrpc::ErrorObject::of(error).message.len() < 1_000);
    }

    #[test]
    fn a_read_only_error_says_nothing_of_execution() {
        let error = RpcError::internal("broken").with_executed(None);
        assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"code":"internal","message":"broken"}"#);
        assert_eq!(error.executed(), Executed::No);
        // As the error of a method that may change something, it is no promise.
        assert_eq!(error.about(None).executed(), Executed::Unknown);
    }

    #[test]
    fn a_foreign_error_without_details_promises_nothing_it_did_not_say() {
        let error: RpcError = serde_json::from_str(r#"{"code":"aborted"}"#).unwrap();
        assert_eq!((error.code(), error.message()), (Code::Aborted, ""));
        assert_eq!(error.executed(), Executed::Unknown);
    }

    #[test]
    fn codes_have_one_spelling() {
        for code in [Code::Canceled, Code::InvalidArgument, Code::DataLoss, Code::Unauthenticated] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
