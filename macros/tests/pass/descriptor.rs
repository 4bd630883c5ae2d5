//! The descriptor says what the source says.

use traitwire::{Compat, Idempotency, RpcResult, Server};
use traitwire_schema::codegen::index::ServiceIndex;

/// Keeps things.
///
/// In boxes.
#[traitwire::service(prefix = "attic", compat = "full", reserved("attic.burn", "burn"))]
pub(crate) trait Attic: Send + Sync {
    /// Looks for a thing.
    #[rpc(read_only, timeout = "1500ms", retry = 4, hedge = "20ms", aliases("seek", "attic.seek"))]
    async fn find(&self, thing: String) -> RpcResult<u8>;

    #[rpc(idempotent, timeout = "1m", detach = false)]
    async fn tidy(&self) -> RpcResult<()>;

    #[rpc(name = "throw-away")]
    #[deprecated(since = "2.0.0", note = "keep things")]
    async fn throw(&self) -> RpcResult<()>;

    #[rpc(read_only, detach)]
    #[rpc(deprecated = "count yourself")]
    async fn count(&self) -> RpcResult<u8>;
}

// What a service index asserts: the descriptor can be read while compiling.
const _: () = assert!(ATTIC_SERVICE.fingerprint != 0);

/// The tokens of the compiler and those of a parsed file are made by different code, with different spacing and spans.
#[test]
fn macro_and_source_scan_compute_one_fingerprint() {
    for (file, service) in [
        ("descriptor", &ATTIC_SERVICE),
        ("parameters", &crate::parameters::SHAPES_SERVICE),
        ("typed", &crate::typed::BANK_SERVICE),
        ("generic", &crate::generic::PAGES_SERVICE),
        ("raw", &crate::raw::LOOP_SERVICE),
        ("hygiene", &crate::hygiene::bare::BARE_SERVICE),
        ("defaults", &crate::defaults::HALVES_SERVICE),
        ("conditional", &crate::conditional::CONDITIONAL_SERVICE),
    ] {
        let path = format!("tests/pass/{file}.rs");
        let index = ServiceIndex::scan(&path, &format!("crate::{file}")).unwrap().render();
        assert!(index.contains(&format!("fingerprint == {:#018x},", service.fingerprint)), "{path}: {index}");
        assert!(index.contains(&format!("// {path}:{}\n", service.line)), "{path}:{} {index}", service.line);
    }
}

#[test]
fn of_the_service() {
    let service = &ATTIC_SERVICE;
    assert_eq!((service.name, service.prefix, service.compat), ("Attic", "attic", Compat::Full));
    assert_eq!(service.docs, "Keeps things.\n\nIn boxes.");
    assert_eq!(service.reserved, ["attic.burn", "burn"]);
    assert!(service.file.ends_with("tests/pass/descriptor.rs"), "{}", service.file);
    assert_eq!(service.line, 10, "the line of the trait's name");
    let names: Vec<_> = service.methods.iter().map(|method| method.name).collect();
    assert_eq!(names, ["attic.find", "attic.tidy", "attic.throw-away", "attic.count"]);
}

#[test]
fn of_a_method() {
    let find = AtticStub::FIND;
    assert_eq!(find.docs, "Looks for a thing.");
    assert_eq!(find.aliases, ["seek", "attic.seek"]);
    assert_eq!(find.idempotency, Idempotency::ReadOnly);
    assert_eq!((find.timeout_ms, find.retries, find.hedge_ms), (Some(1_500), Some(4), Some(20)));
    assert!(!find.detach, "what changes nothing need not run to its end");

    let tidy = AtticStub::TIDY;
    assert_eq!(
        (tidy.idempotency, tidy.timeout_ms, tidy.detach),
        (Idempotency::Idempotent, Some(60_000), false)
    );

    let throw = AtticStub::THROW;
    assert_eq!((throw.idempotency, throw.deprecated), (Idempotency::None, Some("keep things")));
    assert!(throw.detach, "what changes state runs to its end");
    assert_eq!((AtticStub::COUNT.deprecated, AtticStub::COUNT.detach), (Some("count yourself"), true));
}

#[test]
fn a_server_finds_it_by_name_and_alias() {
    let server = AtticServer::new(AtticMock::new());
    for name in ["attic.find", "seek", "attic.seek"] {
        assert_eq!(server.method(name).map(|method| method.name), Some("attic.find"), "{name}");
    }
    assert!(server.method("find").is_none());
    assert!(std::ptr::eq(server.services()[0], &ATTIC_SERVICE));
}
