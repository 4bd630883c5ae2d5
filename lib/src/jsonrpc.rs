//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): the shapes of requests and replies, for server and client.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use crate::error::{Code, RpcError};

/// The text is no JSON.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// The JSON is no request.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// No such method.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// The arguments are wrong.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// An invariant of the server is broken.
pub(crate) const INTERNAL_ERROR: i32 = -32603;
/// Any other error; `data` holds the Connect error object.
pub(crate) const SERVER_ERROR: i32 = -32000;

/// A request, or a notification when `id` is missing.
///
/// Three members are extensions. `timeout_ms` and `traceparent` differ between the calls of one batch and would otherwise
/// be headers. `message` says how to read `params`, see [`Request::arguments`].
#[derive(Debug, Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow)]
    pub(crate) jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) message: bool,
    // A null id is an id; only a missing one makes a notification.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) traceparent: Option<Cow<'a, str>>,
}

/// What a request gives its method.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arguments<'a> {
    /// Nothing.
    None,
    /// A null: the message of a method that takes one, and nothing for any other.
    Null,
    /// The message itself.
    Message(&'a RawValue),
    /// The fields of the message in their order, or a message that has no fields as the only element.
    ByPosition(&'a RawValue),
}

impl<'a> Request<'a> {
    /// How `params` gives the arguments.
    ///
    /// JSON-RPC has no form for a message that is not an object: an array holds positions, and neither null nor a scalar
    /// is allowed. Such a message travels as the only element of an array, and `"message": true` tells the server that
    /// the element is the whole message. Servers that do not know the member still see one argument by position.
    pub(crate) fn arguments(&self) -> Result<Arguments<'a>, &'static str> {
        let Some(params) = self.params else { return Ok(Arguments::None) };
        if self.message {
            let message = serde_json::from_str::<[&RawValue; 1]>(params.get());
            return match message {
                Ok([message]) => Ok(Arguments::Message(message)),
                Err(_) => Err("with `\"message\": true`, `params` must be an array of one element"),
            };
        }
        Ok(match params.get().as_bytes()[0] {
            b'n' => Arguments::Null,
            b'[' => Arguments::ByPosition(params),
            _ => Arguments::Message(params),
        })
    }
}

/// A request that is written as an object. serde also takes an array of the fields in their order for a struct.
pub(crate) struct ObjectRequest<'a>(pub(crate) Request<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for ObjectRequest<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Request::deserialize(StructAsMap(deserializer)).map(Self)
    }
}

/// A deserializer that reads structs from objects only.
struct StructAsMap<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for StructAsMap<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A reply as the client reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Reply<'a> {
    #[serde(default)]
    pub(crate) id: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) error: Option<ErrorObject>,
}

/// The error of a reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorObject {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<RpcError>,
}

impl ErrorObject {
    /// How an error of a call stands in JSON-RPC.
    pub(crate) fn of(error: RpcError) -> Self {
        let code = match error.code() {
            Code::InvalidArgument => INVALID_PARAMS,
            Code::Unimplemented => METHOD_NOT_FOUND,
            Code::Internal => INTERNAL_ERROR,
            _ => SERVER_ERROR,
        };
        Self { code, message: error.message_brief().into_owned(), data: Some(error) }
    }

    /// The error of a call, also where something that is no Traitwire server answered.
    pub(crate) fn into_rpc_error(self) -> RpcError {
        self.data.unwrap_or_else(|| {
            let code = match self.code {
                INVALID_PARAMS | INVALID_REQUEST | PARSE_ERROR => Code::InvalidArgument,
                METHOD_NOT_FOUND => Code::Unimplemented,
                INTERNAL_ERROR => Code::Internal,
                _ => Code::Unknown,
            };
            RpcError::new(code, self.message)
        })
    }
}

/// Whether a JSON text is an array, by its first character: a batch, or arguments by position.
pub(crate) fn is_array(json: &[u8]) -> bool {
    first_byte(json) == Some(b'[')
}

/// The first character of a JSON text, which decides what kind of value it is.
fn first_byte(json: &[u8]) -> Option<u8> {
    json.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Appends a request, whose arguments are JSON already; [`Request::arguments`] says how they stand in `params`.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    id: usize,
    method: &str,
    arguments: &[u8],
    timeout_ms: Option<u64>,
    traceparent: Option<&str>,
) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":");
    write_json(out, method);
    match first_byte(arguments) {
        Some(b'{') => {
            out.extend_from_slice(b",\"params\":");
            out.extend_from_slice(arguments);
        }
        // A request alone has an empty body then.
        None => {}
        Some(_) => {
            out.extend_from_slice(b",\"params\":[");
            out.extend_from_slice(arguments);
            out.extend_from_slice(b"],\"message\":true");
        }
    }
    if let Some(timeout_ms) = timeout_ms {
        out.extend_from_slice(b",\"timeout_ms\":");
        write_json(out, &timeout_ms);
    }
    if let Some(traceparent) = traceparent {
        out.extend_from_slice(b",\"traceparent\":");
        write_json(out, traceparent);
    }
    out.extend_from_slice(b",\"id\":");
    write_json(out, &id);
    out.push(b'}');
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts, numbers and errors are JSON and a Vec takes all");
}

/// Appends the reply to a call that succeeded.
pub(crate) fn write_result(out: &mut Vec<u8>, id: &str, result: &[u8]) {
    write_result_begin(out, id);
    out.extend_from_slice(result);
    write_result_end(out);
}

/// Appends what stands before the result of such a reply.
pub(crate) fn write_result_begin(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"result\":");
}

/// Appends what stands after it.
pub(crate) fn write_result_end(out: &mut Vec<u8>) {
    out.push(b'}');
}

/// Appends the reply to a call that failed.
pub(crate) fn write_error(out: &mut Vec<u8>, id: &str, error: &ErrorObject) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"error\":");
    write_json(out, error);
    out.push(b'}');
}

/// Cuts a JSON array that arrives in pieces into its elements; of a text that is one object, that object.
///
/// It looks at strings and brackets alone: what it hands out is checked by whoever parses it.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: BytesMut,
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Splitter {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.buffer.is_empty() {
            // A piece that came alone is kept as it is, without a copy, where nobody else holds it.
            self.buffer = BytesMut::from(piece);
        } else {
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// The bytes held back for elements that are not complete.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete element that is an object; elements of other kinds are passed over.
    pub(crate) fn next_object(&mut self) -> Option<Bytes> {
        // Where the object begins, if it begins in what is looked at now.
        let mut begin = 0;
        let mut at = self.scanned;
        let end = loop {
            // Now and then only: most strings are short.
            if self.in_string && !self.escaped && at.is_multiple_of(PLAIN_BLOCK_BYTES) {
                at += plain_bytes(&self.buffer[at..]);
            }
            let Some(byte) = self.buffer.get(at) else { break None };
            at += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' => {
                    if self.depth == 0 {
                        begin = at - 1;
                    }
                    self.depth += 1;
                }
                b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        break Some(at);
                    }
                }
                _ => {}
            }
        };
        if self.depth > 0 || end.is_some() {
            self.buffer.advance(begin);
        }
        self.scanned = self.buffer.len();
        let object = self.buffer.split_to(end? - begin).freeze();
        self.scanned = 0;
        Some(object)
    }
}

/// The inside of a long string, which is most of a large reply, is passed over in blocks that the compiler compares as a whole.
const PLAIN_BLOCK_BYTES: usize = 32;

/// How many bytes of blocks without a quote or a backslash this part of a string begins with.
fn plain_bytes(part: &[u8]) -> usize {
    let is_plain = |block: &&[u8]| {
        !block.iter().fold(false, |special, byte| special | (*byte == b'"') | (*byte == b'\\'))
    };
    PLAIN_BLOCK_BYTES * part.chunks_exact(PLAIN_BLOCK_BYTES).take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the network cuts a batch, its objects come out whole and in order.
        #[test]
        fn pieces_of_any_size_give_the_same_elements(
            texts in proptest::collection::vec("[ -~\\\\\"{}\\[\\]é]{0,12}a{0,70}[\\\\\"}a]{0,3}a{0,70}", 0..6),
            size in 1_usize..90,
        ) {
            let objects: Vec<_> = texts.iter().map(|text| serde_json::json!({"a": text, "b": [{"c": 1}]})).collect();
            let body = serde_json::to_vec_pretty(&objects).unwrap();
            let mut splitter = Splitter::default();
            let mut found: Vec<serde_json::Value> = Vec::new();
            for piece in body.chunks(size) {
                splitter.push(Bytes::copy_from_slice(piece));
                while let Some(object) = splitter.next_object() {
                    found.push(serde_json::from_slice(&object).unwrap());
                }
            }
            prop_assert_eq!(found, objects);
        }
    }

    #[test]
    fn a_null_id_is_an_id_and_a_missing_one_is_a_notification() {
        let request: Request<'_> =
            serde_json::from_str(r#"{"jsonrpc":"2.0","method":"m","id":null}"#).unwrap();
        assert_eq!(request.id.unwrap().get(), "null");
        let request: Request<'_> = serde_json::from_str(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap();
        assert!(request.id.is_none());
    }
}
