//! What `diff` finds between two contracts, and what it must not find.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "diff/golden.rs"]
mod golden;
#[path = "diff/hidden.rs"]
mod hidden;
#[path = "diff/lock.rs"]
mod lock;
#[path = "diff/random.rs"]
mod random;
#[path = "diff/trivial.rs"]
mod trivial;
#[path = "diff/types.rs"]
mod types;

use serde_json::{Value, json};
use traitwire_schema::Contract;
use traitwire_schema::diff::{Finding, History, compare};

/// A contract of one method `m` that takes and gives the same message.
fn contract(schema: &Value, types: &Value) -> Contract {
    let method = json!({ "name": "m", "idempotency": "none", "arguments": schema, "reply": schema });
    let service = json!({ "name": "Service", "compat": "full", "methods": [method] });
    let document = json!({ "format": 1, "fingerprint": "", "services": [service], "types": types });
    Contract::from_json(&document).unwrap()
}

fn findings(old: &Contract, new: &Contract) -> Vec<Finding> {
    compare(old, new, &History::default())
}
