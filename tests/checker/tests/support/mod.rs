//! What the checker's own tests share: histories drawn as time lines, generators, and a decider by brute force.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod brute;
pub(crate) mod generate;
pub(crate) mod timeline;
