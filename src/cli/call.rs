//! `traitwire call METHOD [JSON]`: any method of a running server, its arguments checked before they are sent.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;
use traitwire::{Code, Executed, RpcError};
use traitwire_schema::{check, nearest};

use super::fetch::{NoDocument, fetch};
use super::output::{note, print_line};
use super::{Endpoints, Failure, seconds};

/// How long each document of a server may take to come.
const DOCUMENT_TIME: Duration = Duration::from_secs(3);
/// How many methods are listed when none is near the one asked for.
const METHODS_SHOWN_MAX: usize = 20;
/// The value of the arguments that means standard input.
const STANDARD_INPUT: &str = "-";

/// Call any method of a running server, once its arguments are checked against its schema.
///
/// Before anything is sent, the server is asked for the schema of the method, and arguments that do not fit it are refused.
/// A field that the schema does not know does not fit: it is most likely misspelt. A server that shows no schemas gets the
/// call all the same.
///
/// The nodes of --endpoints are tried one after the other until one can be reached.
///
/// Exit codes: 0 the reply is on standard output; 1 the call failed; 2 it was not sent, since there is no such method, the
/// arguments do not fit, or the usage is wrong.
#[derive(clap::Args)]
pub(super) struct Call {
    /// The method's name on the wire, such as `get`.
    method: String,
    /// The arguments; `-` reads them from standard input.
    #[arg(default_value = "{}")]
    json: String,
    /// Send the call without asking for any schema.
    #[arg(long)]
    no_check: bool,
    /// How long to wait for the reply, all nodes together, such as 5, 0.5 or 500ms.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    endpoints: Endpoints,
}

/// What a server's documents say of a call.
enum Checked {
    /// Nothing against it.
    Good,
    /// They cannot be had, since the server does not answer.
    Unreachable(String),
}

impl Call {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let arguments = self.arguments()?;
        // Without a deadline where it is too far off to be a time.
        let deadline = Instant::now().checked_add(self.timeout);
        let called = self.call(&arguments, deadline);
        let Some(deadline) = deadline else { return called.await };
        tokio::time::timeout_at(deadline, called).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// What is said when the time is over.
    fn late(&self) -> Failure {
        let error = RpcError::deadline_exceeded(format!("no reply within {:?}", self.timeout));
        Failure::rpc(&error)
    }

    async fn call(&self, arguments: &RawValue, deadline: Option<Instant>) -> Result<u8, Failure> {
        let mut reasons = Vec::new();
        for (url, client) in self.endpoints.clients(deadline) {
            if !self.no_check
                && let Checked::Unreachable(why) = self.check(&url, arguments).await?
            {
                reasons.push(why);
                continue;
            }
            match client.try_call::<_, Value>(&self.method, arguments).await {
                Ok(reply) => {
                    print_line(format_args!("{reply:#}"))?;
                    return Ok(0);
                }
                // Another node may be there, and this one does nothing any more.
                Err(error) if error.code() == Code::Unavailable && error.executed() == Executed::No => {
                    reasons.push(error.to_string());
                }
                Err(error) => return Err(Failure::rpc(&error)),
            }
        }
        Err(Failure::new(reasons.join("\n")).with("code", Code::Unavailable.as_str()))
    }

    /// The arguments as they were given: what is sent is what was checked, digit by digit.
    fn arguments(&self) -> Result<Box<RawValue>, Failure> {
        let mut input = String::new();
        let json = if self.json == STANDARD_INPUT {
            let read = std::io::stdin().read_to_string(&mut input);
            read.map_err(|error| unfit(format!("cannot read the arguments: {error}")))?;
            &input
        } else {
            &self.json
        };
        serde_json::from_str(json).map_err(|error| unfit(format!("the arguments are not JSON: {error}")))
    }

    /// Compares the call with what the server at `url` says of the method.
    async fn check(&self, url: &str, arguments: &RawValue) -> Result<Checked, Failure> {
        let document = match self.arguments_schema(url.trim_end_matches('/')).await? {
            Ok(document) => document,
            Err(NoDocument::NoAnswer(why)) => return Ok(Checked::Unreachable(why)),
            Err(NoDocument::Other(why)) => {
                note(format_args!("traitwire: the arguments are not checked: {why}"));
                return Ok(Checked::Good);
            }
        };
        let value: Value = serde_json::from_str(arguments.get())
            .map_err(|error| unfit(format!("the arguments are not JSON: {error}")))?;
        match check(&document, &value) {
            Ok(misfits) if misfits.is_empty() => {}
            Ok(misfits) => {
                let mut text = format!("the arguments do not fit `{}`, and were not sent:", self.method);
                misfits.iter().for_each(|misfit| text += &format!("\n  {misfit}"));
                return Err(unfit(text));
            }
            Err(why) => note(format_args!("traitwire: the arguments are not checked: {why}")),
        }
        Ok(Checked::Good)
    }

    /// The schema of the method's arguments; the outer error says that there is no such method.
    async fn arguments_schema(&self, url: &str) -> Result<Result<Value, NoDocument>, Failure> {
        let index = match fetch(&format!("{url}/_schema"), DOCUMENT_TIME).await {
            Ok(index) => index,
            Err(error) => return Ok(Err(error)),
        };
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let methods: Vec<Value> =
            list(&index, "services").iter().flat_map(|service| list(service, "methods")).collect();
        if methods.is_empty() {
            return Ok(Err(NoDocument::Other(format!("{url} shows no schema of any method"))));
        }
        let answers = |method: &&Value| {
            method["name"] == *self.method
                || list(method, "aliases").iter().any(|alias| *alias == *self.method)
        };
        let Some(method) = methods.iter().find(answers) else {
            return Err(unfit(self.unknown_method(url, &methods)));
        };
        let document = method["arguments"]["href"].as_str().filter(|href| href.starts_with("_schema/"));
        Ok(match document {
            Some(href) => fetch(&format!("{url}/{href}"), DOCUMENT_TIME).await,
            None => Err(NoDocument::Other(format!("{url} shows no schema of `{}`", self.method))),
        })
    }

    fn unknown_method(&self, url: &str, methods: &[Value]) -> String {
        let names = || methods.iter().filter_map(|method| method["name"].as_str());
        let method = &self.method;
        match nearest(method, names()) {
            Some(near) => format!("{url} has no method `{method}`; did you mean `{near}`?"),
            None => {
                let shown: Vec<_> = names().take(METHODS_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
                let more = names().count().saturating_sub(METHODS_SHOWN_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{url} has no method `{method}`; there are {}{more}", shown.join(", "))
            }
        }
    }
}

/// There is no such method, or the arguments do not fit it: nothing was sent.
fn unfit(message: impl std::fmt::Display) -> Failure {
    Failure::usage(message)
}
