//! The errors that every method can answer with, as documents tell them: the codes of the Connect protocol with their
//! HTTP statuses.

use serde_json::{Value, json};

/// One way in which calls fail.
pub(crate) struct ErrorCode {
    /// The name on the wire.
    pub(crate) name: &'static str,
    /// The HTTP status that goes with it.
    pub(crate) status: u16,
    /// What it means, as one sentence.
    pub(crate) docs: &'static str,
}

const fn code(name: &'static str, status: u16, docs: &'static str) -> ErrorCode {
    ErrorCode { name, status, docs }
}

/// All codes, by their HTTP statuses.
pub(crate) const CODES: [ErrorCode; 16] = [
    code("invalid_argument", 400, "The arguments are wrong, whatever the state of the server."),
    code("failed_precondition", 400, "The state of the server does not allow it."),
    code("out_of_range", 400, "Past the end of what exists."),
    code("unauthenticated", 401, "The caller is not known."),
    code("permission_denied", 403, "The caller is known and may not do this."),
    code("not_found", 404, "The thing asked for does not exist."),
    code("already_exists", 409, "The thing to be created exists."),
    code("aborted", 409, "A conflict with another call; trying again from the start may work."),
    code("resource_exhausted", 429, "A limit with a name was reached."),
    code("canceled", 499, "The caller gave up."),
    code("unknown", 500, "Nothing more is known."),
    code("internal", 500, "An invariant of the server is broken."),
    code("data_loss", 500, "Data is lost or damaged."),
    code("unimplemented", 501, "No such method."),
    code("unavailable", 503, "The server cannot be reached or does not serve now."),
    code("deadline_exceeded", 504, "The deadline passed before there was an answer."),
];

/// What the server answers to a request whose body it does not take, before any method is asked.
pub(crate) const BODY_CODES: [ErrorCode; 4] = [
    code("deadline_exceeded", 408, "The body took too long to arrive."),
    code("resource_exhausted", 413, "The body is larger than the server takes."),
    code("invalid_argument", 415, "The type of the body is not JSON."),
    code("unimplemented", 415, "The body is compressed."),
];

/// The code of a method's own error, which comes as `{"error": ...}` in the details. An error that turns into an `RpcError`, or
/// carries one, has the code of that instead.
pub(crate) const TYPED_ERROR: &str = "failed_precondition";

/// An error as it stands in JSON; of a method that may change state, with a word on whether it was executed.
pub(crate) fn example_error(code: &str, message: &str, is_read_only: bool) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if !is_read_only {
        error["details"] = json!([{ "executed": if code == "invalid_argument" { "no" } else { "unknown" } }]);
    }
    error
}

/// The error of a method that has one of its own, this one, as it stands in JSON.
pub(crate) fn example_typed_error(error: Value, is_read_only: bool) -> Value {
    let mut whole = example_error(TYPED_ERROR, "the method answered with an error of its own", is_read_only);
    if let Value::Array(details) = &mut whole["details"] {
        details.push(json!({ "error": error }));
    } else {
        whole["details"] = json!([{ "error": error }]);
    }
    whole
}

/// All codes with their statuses, those for bodies included, by status.
pub(crate) fn by_status() -> Vec<(u16, Vec<&'static ErrorCode>)> {
    let mut all: Vec<&ErrorCode> = CODES.iter().chain(&BODY_CODES).collect();
    all.sort_by_key(|code| code.status);
    let groups = all.chunk_by(|one, other| one.status == other.status);
    groups.map(|group| (group[0].status, group.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn each_code_is_listed_once() {
        let mut names: Vec<&str> = CODES.iter().map(|code| code.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 16);
    }
}
