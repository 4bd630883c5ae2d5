//! What must not compile, and what is said then. `TRYBUILD=overwrite` writes the messages anew.

#[test]
fn mistakes_are_reported_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
