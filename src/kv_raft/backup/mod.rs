//! Backups: the file that a backup is, and the folder that a node is restored to.

mod file;

pub use file::{BackupFileError, Reader, Summary, Writer};
