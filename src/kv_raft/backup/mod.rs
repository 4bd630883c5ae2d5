//! Backups: the file that a backup is, and the folder that a node is restored to.

mod contents;
mod file;
mod folder;
mod reader;
mod recover;

pub use contents::{Contents, ContentsError, Kind};
pub use file::{BackupFileError, Summary, Writer};
pub use folder::{NewNode, RestoreError, Restored, restore};
pub use reader::Reader;
pub use recover::{RecoverError, Recovered, recover};
