//! The source scan.
