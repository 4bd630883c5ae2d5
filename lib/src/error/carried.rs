//! Errors within the errors of methods: a method's own error that carries an [`RpcError`] is that error for everybody who
//! does not know its type.

use std::cell::RefCell;

use traitwire_schema::MethodDescriptor;

use super::{Executed, RpcError};

thread_local! {
    /// Set while an error of a method's own is encoded or decoded on this thread.
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// What an [`RpcError`] within a method's own error needs to know, and leaves there.
struct Scope {
    promises: Promises,
    /// The first error that was encoded, with what all of them say of execution.
    carried: Option<RpcError>,
}

/// What an error within another may say of execution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promises {
    /// Nothing: its method changes nothing, so that the question has no meaning.
    Meaningless,
    /// Nothing: the error around it makes no promise.
    None,
    /// What it says itself.
    Own,
}

impl Scope {
    /// Runs `work` within the scope, and gives what was carried.
    fn run<T>(self, work: impl FnOnce() -> T) -> (T, Option<RpcError>) {
        // The scope around this one returns also when `work` panics.
        struct Restore(Option<Scope>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SCOPE.set(self.0.take());
            }
        }
        let _restore = Restore(SCOPE.replace(Some(self)));
        let output = work();
        let carried = SCOPE.with_borrow_mut(|scope| scope.as_mut().and_then(|scope| scope.carried.take()));
        (output, carried)
    }
}

/// Encodes an error of a method's own, and gives the [`RpcError`] that it carries, if any.
pub(crate) fn encoding<T>(method: &MethodDescriptor, encode: impl FnOnce() -> T) -> (T, Option<RpcError>) {
    let promises = if method.is_read_only() { Promises::Meaningless } else { Promises::Own };
    Scope { promises, carried: None }.run(encode)
}

/// Decodes an error of a method's own that arrived in `around`: an [`RpcError`] in it promises no more than that does.
pub(crate) fn decoding<T>(around: &RpcError, decode: impl FnOnce() -> T) -> T {
    let promises = match around.inner.executed {
        None => Promises::Meaningless,
        Some(Executed::Unknown) => Promises::None,
        Some(Executed::No) => Promises::Own,
    };
    Scope { promises, carried: None }.run(decode).0
}

/// What is written of the execution of `error`; where it stands within a method's own error, that is noted.
pub(super) fn written(error: &RpcError) -> Option<Executed> {
    SCOPE.with_borrow_mut(|scope| {
        let Some(scope) = scope else { return error.inner.executed };
        let executed = match scope.promises {
            Promises::Meaningless => None,
            Promises::None | Promises::Own => Some(error.inner.executed.unwrap_or(Executed::Unknown)),
        };
        match &mut scope.carried {
            None => scope.carried = Some(error.clone().with_executed(executed)),
            Some(first) if executed == Some(Executed::Unknown) => first.inner.executed = executed,
            Some(_) => {}
        }
        executed
    })
}

/// What an error that was read says of execution, of which its JSON says this. An error that says nothing promises nothing.
pub(super) fn read(given: Option<Executed>) -> Option<Executed> {
    let promises = SCOPE.with_borrow(|scope| scope.as_ref().map_or(Promises::Own, |scope| scope.promises));
    match promises {
        Promises::Meaningless => None,
        Promises::None => Some(Executed::Unknown),
        Promises::Own => Some(given.unwrap_or(Executed::Unknown)),
    }
}
