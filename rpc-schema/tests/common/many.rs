//! A catalogue of 500 methods, each with arguments of its own.

use schemars::JsonSchema;
use traitwire_schema::{Catalogue, Idempotency, MethodDescriptor, SchemaOf, ServiceDescriptor, schema_of};

use super::{METHOD, SERVICE};

/// How many services there are, and methods in each.
pub(crate) const SERVICES: usize = 20;
pub(crate) const METHODS: usize = 25;

/// What a method takes.
#[derive(JsonSchema)]
#[schemars(rename = "Args_{N}")]
pub(crate) struct Args<const N: usize> {
    /// The key, which may not be empty.
    pub(crate) key: String,
    /// The new value.
    pub(crate) value: Option<Vec<u64>>,
    /// How to go about it.
    pub(crate) mode: Mode,
}

/// How to go about it.
#[derive(JsonSchema)]
pub(crate) enum Mode {
    /// At once.
    Fast,
    /// With care.
    Careful {
        /// How often.
        times: u32,
    },
}

/// What a method answers.
#[derive(JsonSchema)]
#[schemars(rename = "Reply_{S}")]
pub(crate) struct Reply<const S: usize> {
    /// The version that is there now.
    pub(crate) version: u64,
    /// What was there before.
    pub(crate) before: Option<String>,
}

macro_rules! of_service {
    ($service:literal: $($method:literal)*) => {
        ([$(schema_of::<Args<{ $service * METHODS + $method }>> as SchemaOf),*], schema_of::<Reply<$service>> as SchemaOf)
    };
}

macro_rules! of_services {
    ($($service:literal)*) => {
        [$(of_service!($service: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24)),*]
    };
}

/// The schemas of the arguments of each method, and of the replies, service by service.
fn schemas() -> [([SchemaOf; METHODS], SchemaOf); SERVICES] {
    of_services!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19)
}

/// The catalogue.
pub(crate) fn many() -> Catalogue {
    let leak = |text: String| -> &'static str { text.leak() };
    let service = |(index, (arguments, reply)): (usize, ([SchemaOf; METHODS], SchemaOf))| {
        let method = |(method, arguments): (usize, SchemaOf)| -> &'static MethodDescriptor {
            Box::leak(Box::new(MethodDescriptor {
                name: leak(format!("service_{index}.method_{method}")),
                docs: leak(format!(
                    "Does what is number {method} of service {index}.\n\nAnd says how it went."
                )),
                idempotency: if method % 2 == 0 { Idempotency::ReadOnly } else { Idempotency::None },
                timeout_ms: Some(2_000),
                arguments,
                reply,
                ..METHOD
            }))
        };
        let methods: Vec<_> = arguments.into_iter().enumerate().map(method).collect();
        let service: &'static ServiceDescriptor = Box::leak(Box::new(ServiceDescriptor {
            name: leak(format!("Service{index}")),
            prefix: leak(format!("service_{index}")),
            docs: "One of many.",
            methods: methods.leak(),
            ..SERVICE
        }));
        service
    };
    let services: Vec<_> = schemas().into_iter().enumerate().map(service).collect();
    Catalogue::new(&services).expect("there are no conflicts")
}
