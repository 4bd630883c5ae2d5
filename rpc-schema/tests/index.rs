//! The source scan, on trees of its own in `tests/fixtures`.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use traitwire_schema::codegen::index::{ScanError, ServiceIndex};

fn scan(tree: &str) -> Result<ServiceIndex, Vec<ScanError>> {
    ServiceIndex::scan(format!("tests/fixtures/{tree}"), "crate::services")
}

fn check_errors(tree: &str, expected: Expect) {
    let errors = scan(tree).err().unwrap();
    let lines: String = errors.iter().map(|error| format!("{error}\n")).collect();
    expected.assert_eq(&lines.replace("tests/fixtures/", ""));
}

#[test]
fn every_way_to_write_a_module_is_followed() {
    let index = scan("good").unwrap();
    let files: String = index.files().iter().map(|file| format!("{}\n", file.display())).collect();
    expect![[r#"
        good/mod.rs
        good/kv.rs
        good/nested.rs
        good/nested/inner.rs
        good/elsewhere/moved.rs
        good/elsewhere/child.rs
        good/extra/mod.rs
        good/inline/deep.rs
    "#]]
    .assert_eq(&files.replace("tests/fixtures/", ""));
    expect![[r#"
        /// Every annotated service that the build script found, in the order of the source.
        pub static SERVICES: &[&::traitwire::ServiceDescriptor] = &[
            // good/kv.rs:5
            &crate::services::kv::KV_SERVICE,
            // good/nested/inner.rs:6
            &crate::services::nested::inner::KV_SERVICE,
            // good/elsewhere/child.rs:4
            &crate::services::moved::child::CHILD_SERVICE,
            // good/extra/mod.rs:6
            #[cfg(feature = "extra")] #[cfg(unix)] #[cfg(feature = "more")] &crate::services::extra::EXTRA_SERVICE,
            // good/inline/deep.rs:4
            &crate::services::inline::deep::DEEP_SERVICE,
            // good/mod.rs:17
            #[cfg(unix)] &crate::services::inline::INLINE_SERVICE,
            // good/mod.rs:23
            #[cfg(not(unix))] &crate::services::inline::INLINE_ELSEWHERE_SERVICE,
        ];

        const _: () = ::core::assert!(
            crate::services::kv::KV_SERVICE.fingerprint == 0x66282742b1748149,
            "the build script read another `Kv` at good/kv.rs:5 than the macro did",
        );

        const _: () = ::core::assert!(
            crate::services::nested::inner::KV_SERVICE.fingerprint == 0x7d9c2e287934cc86,
            "the build script read another `Kv` at good/nested/inner.rs:6 than the macro did",
        );

        const _: () = ::core::assert!(
            crate::services::moved::child::CHILD_SERVICE.fingerprint == 0x2da3c340913085b9,
            "the build script read another `Child` at good/elsewhere/child.rs:4 than the macro did",
        );

        #[cfg(feature = "extra")]
        #[cfg(unix)]
        #[cfg(feature = "more")]
        const _: () = ::core::assert!(
            crate::services::extra::EXTRA_SERVICE.fingerprint == 0x9d7a04ea5e2187e5,
            "the build script read another `Extra` at good/extra/mod.rs:6 than the macro did",
        );

        const _: () = ::core::assert!(
            crate::services::inline::deep::DEEP_SERVICE.fingerprint == 0xbd9a2b24dc73f1d7,
            "the build script read another `Deep` at good/inline/deep.rs:4 than the macro did",
        );

        #[cfg(unix)]
        const _: () = ::core::assert!(
            crate::services::inline::INLINE_SERVICE.fingerprint == 0xc27e84b266333f12,
            "the build script read another `Inline` at good/mod.rs:17 than the macro did",
        );

        #[cfg(not(unix))]
        const _: () = ::core::assert!(
            crate::services::inline::INLINE_ELSEWHERE_SERVICE.fingerprint == 0x85672ca3049bd444,
            "the build script read another `InlineElsewhere` at good/mod.rs:23 than the macro did",
        );
    "#]].assert_eq(&index.render().replace("tests/fixtures/", ""));
    assert!(syn::parse_file(&index.render()).is_ok());
}

#[test]
fn a_root_can_be_a_file_of_any_name() {
    let index = ServiceIndex::scan("tests/fixtures/good/nested.rs", "crate::nested").unwrap();
    assert!(index.render().contains("&crate::nested::inner::KV_SERVICE"), "{}", index.render());
    assert_eq!(index.files().len(), 2);
}

#[test]
fn names_that_two_services_claim_are_reported_with_both_places() {
    check_errors(
        "wrong",
        expect![[r#"
        wrong/mod.rs:8: `#[service]` in a `cfg_attr` cannot be followed: put the `#[cfg]` on the trait
        wrong/mod.rs:13: `#[path]` in a `cfg_attr` cannot be followed: write two modules with `#[cfg]` instead
        wrong/mod.rs:17: `Private` is private, so that no index can name it: make it `pub(crate)`
        wrong/second.rs:5: the name `get` of `Second::get` is taken by the name `get` of `First::get` at wrong/first.rs:5
        wrong/second.rs:7: the name `fetch` of `Second::take` is taken by the alias `fetch` of `First::load` at wrong/first.rs:7
        wrong/apart/third.rs:6: the alias `load` of `Third::third` is taken by the name `load` of `First::load` at wrong/first.rs:8
        wrong/apart/third.rs:10: the name `drop` of `Third::drop` is reserved by `First` at wrong/first.rs:3
    "#]],
    );
}

#[test]
fn files_that_cannot_be_read_are_reported() {
    check_errors(
        "unparsable",
        expect![[r#"
        unparsable/mod.rs:4: expected one of: `for`, parentheses, `unsafe`, `fn`, `extern`, identifier, `::`, `<`, `dyn`, square brackets, `*`, `&`, `!`, `impl`, `_`, lifetime
    "#]],
    );
    check_errors(
        "missing",
        expect![[r#"
        missing/mod.rs:3: the file of `mod nowhere` is missing
    "#]],
    );
    check_errors(
        "circular",
        expect![[r#"
        circular/mod.rs:1: the file is a module of itself
    "#]],
    );
    check_errors(
        "absent",
        expect![[r#"
        absent:0: cannot be read: No such file or directory (os error 2)
    "#]],
    );
}
