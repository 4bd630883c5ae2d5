//! What a node is, whatever an operator does with it: nodes that are processes, started with wrong, partial and old arguments, with
//! folders that were wiped, damaged and copied. No acknowledged write is ever reported missing, and where service would be unsound
//! it is refused and the node says why.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "identity/arguments.rs"]
mod arguments;
#[path = "identity/copies.rs"]
mod copies;
#[path = "identity/earlier.rs"]
mod earlier;
#[path = "identity/founding.rs"]
mod founding;
#[path = "identity/lost.rs"]
mod lost;
#[path = "identity/moved.rs"]
mod moved;
#[path = "identity/strangers.rs"]
mod strangers;
#[path = "identity/wiped.rs"]
mod wiped;
