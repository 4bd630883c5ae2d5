//! Whether an error type of a method says what it is on the wire, found out where generated code knows the type.
//!
//! An error type that turns into an [`RpcError`] (`impl From<E> for RpcError`) has a code, a message and a promise about
//! execution of its own. That must not be demanded of all, and Rust has no way to ask a generic function's parameter. But a
//! method call on a known type picks the first implementation that applies, with `&Probe` before `&&Probe`:
//! `(&Probe::<E>::new()).status()` is [`Said::status`] where `E` turns into an [`RpcError`], and [`Unsaid::status`] elsewhere.

use std::marker::PhantomData;

use crate::error::RpcError;

/// Turns an error into what everybody understands of it; nothing where its type does not say.
pub type Status<E> = fn(E) -> Option<RpcError>;

/// Asks about an error type.
#[derive(Debug)]
pub struct Probe<E>(PhantomData<fn() -> E>);

impl<E> Probe<E> {
    /// The question.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for Probe<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The answer for types that turn into an [`RpcError`].
pub trait Said<E> {
    /// What the type says.
    fn status(&self) -> Status<E>;
}

impl<E: Into<RpcError>> Said<E> for Probe<E> {
    fn status(&self) -> Status<E> {
        |error| Some(error.into())
    }
}

/// The answer for all others.
pub trait Unsaid<E> {
    /// Nothing.
    fn status(&self) -> Status<E>;
}

impl<E> Unsaid<E> for &Probe<E> {
    fn status(&self) -> Status<E> {
        |_| None
    }
}
