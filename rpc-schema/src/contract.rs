//! The contract document: all that decides whether two programs understand each other, and nothing else. It needs no
//! other document, so that the contracts of two releases or of two running nodes can be compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arguments::Fields;
use crate::fingerprint::canonical;
use crate::{Catalogue, Compat, Idempotency, MethodDescriptor, ServiceDescriptor};

/// The format of contract documents that this program writes, and the only one that it reads.
pub const CONTRACT_FORMAT: u32 = 1;

/// What the services of one program promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// The format of the document.
    pub format: u32,
    /// The fingerprint of the catalogue that the contract was made from.
    pub fingerprint: String,
    /// The services, in the order in which they are served, internal ones last.
    pub services: Vec<ServiceContract>,
    /// The types that the messages need, as they are read or written. References read `#/$defs/Name`.
    pub types: BTreeMap<String, Value>,
}

/// What one service promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceContract {
    /// The trait's name.
    pub name: String,
    /// The wire prefix, without the dot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What the service is held to.
    pub compat: Compat,
    /// Wire names that once existed and may not be used again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<String>,
    /// The methods, in the order of the trait.
    pub methods: Vec<MethodContract>,
}

/// What one method promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodContract {
    /// The name on the wire, prefix included.
    pub name: String,
    /// Further wire names that reach the method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// How many messages a call takes and gives.
    #[serde(default, skip_serializing_if = "Exchange::is_unary")]
    pub exchange: Exchange,
    /// What a client may repeat by itself.
    pub idempotency: Idempotency,
    /// Why and in favour of what the method is deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// The fields of the arguments in the order of positions; nothing when the message as a whole is the one position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<String>>,
    /// The schema of the arguments, as they are read.
    pub arguments: Value,
    /// The schema of the reply, as it is written.
    pub reply: Value,
    /// The schema of the method's own error, as it is written, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// How many messages a call takes and gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchange {
    /// One message each way, as in all services that this version declares.
    #[default]
    Unary,
    /// Any number of messages.
    Stream,
}

/// Why a text is no contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError(String);

impl Contract {
    /// The contract of all services of a catalogue.
    pub fn of(catalogue: &Catalogue) -> Self {
        let services = catalogue.services().iter().map(|service| service_contract(catalogue, service));
        let types = catalogue.types().iter().map(|(name, schema)| (name.clone(), canonical(schema)));
        Self {
            format: CONTRACT_FORMAT,
            fingerprint: catalogue.fingerprint(),
            services: services.collect(),
            types: types.collect(),
        }
    }

    /// Reads a contract document.
    ///
    /// # Errors
    /// When the document is of another format, or not a contract at all.
    pub fn from_json(document: &Value) -> Result<Self, ContractError> {
        check_format(document, "contract", CONTRACT_FORMAT)?;
        Self::deserialize(document).map_err(|error| ContractError(format!("it is no contract: {error}")))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceContract> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The service and the method that answer to the wire name `name`, which may be an alias.
    pub fn method(&self, name: &str) -> Option<(&ServiceContract, &MethodContract)> {
        let find = |service: &'_ ServiceContract| service.methods.iter().position(|m| m.answers_to(name));
        self.services.iter().find_map(|service| Some((service, &service.methods[find(service)?])))
    }
}

impl Catalogue {
    /// The contract document, at `GET /_schema/contract.json`.
    pub fn contract(&self) -> Value {
        serde_json::to_value(Contract::of(self)).expect("all keys of a contract are strings")
    }
}

impl MethodContract {
    /// Whether `name` is this method's wire name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The wire name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }
}

impl Exchange {
    fn is_unary(&self) -> bool {
        *self == Self::Unary
    }
}

impl ContractError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for ContractError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ContractError {}

/// Refuses what is not a `kind` of document in this format, before its content is looked at.
pub(crate) fn check_format(document: &Value, kind: &str, format: u32) -> Result<(), ContractError> {
    match document.get("format").and_then(Value::as_u64) {
        Some(found) if found == u64::from(format) => Ok(()),
        Some(found) => {
            Err(ContractError(format!("the {kind} is of format {found}; this program reads format {format}")))
        }
        None => Err(ContractError(format!("it is no {kind}: a {kind} is an object with a number `format`"))),
    }
}

fn service_contract(catalogue: &Catalogue, service: &ServiceDescriptor) -> ServiceContract {
    ServiceContract {
        name: service.name.to_owned(),
        prefix: service.prefix.to_owned(),
        compat: service.compat,
        reserved: owned(service.reserved),
        methods: service.methods.iter().map(|method| method_contract(catalogue, method)).collect(),
    }
}

fn method_contract(catalogue: &Catalogue, method: &MethodDescriptor) -> MethodContract {
    let messages = catalogue.messages(method);
    let fields = Fields::of(&messages.arguments.schema, catalogue.types());
    let names = |fields: Fields<'_>| fields.properties.iter().map(|(name, _)| (*name).to_owned()).collect();
    MethodContract {
        name: method.name.to_owned(),
        aliases: owned(method.aliases),
        exchange: Exchange::Unary,
        idempotency: method.idempotency,
        deprecated: method.deprecated.map(str::to_owned),
        parameters: fields.map(names),
        arguments: canonical(&messages.arguments.schema),
        reply: canonical(&messages.reply.schema),
        error: messages.error.as_ref().map(|error| canonical(&error.schema)),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
