//! Every bound of a server, by name.

use std::time::Duration;

/// Declares the limits, each with its default and a setter of the same name.
macro_rules! limits {
    ($($(#[$docs:meta])* $name:ident: $type:ty = $default:expr,)*) => {
        /// What a server holds at most, and how long it waits. Past a limit the caller gets `resource_exhausted` or
        /// `deadline_exceeded`, or the connection is closed where there is nobody to answer.
        ///
        /// ```
        /// use traitwire::Limits;
        ///
        /// let limits = Limits::default().body_bytes(1 << 20).connections(500);
        /// assert_eq!(limits.body_bytes, 1 << 20);
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$docs])* pub $name: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            $(
                #[doc = concat!("Sets [`Limits::", stringify!($name), "`](#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }
    };
}

limits! {
    /// Bytes of one request body. 4 MiB.
    body_bytes: usize = 4 << 20,
    /// Bytes of all request bodies held at once, each until the last call that came in it has ended; at least twice
    /// `body_bytes`. The last quarter is kept for bodies of up to 64 KiB. When there is no room, bodies that have been
    /// arriving for more than a second are given up, the oldest first. 64 MiB.
    bodies_bytes: usize = 64 << 20,
    /// The same for the requests of peers (see [`HttpServer::reserve`](crate::HttpServer::reserve)), which have a budget of
    /// their own. 32 MiB.
    peer_bodies_bytes: usize = 32 << 20,
    /// Bytes of a body over its limit that are read and dropped, so that the caller can read the refusal. 64 MiB.
    refused_body_bytes: usize = 64 << 20,
    /// Calls of one JSON-RPC batch. 4,096.
    batch_items: usize = 4_096,
    /// Bytes of a JSON-RPC id. 1 KiB.
    id_bytes: usize = 1 << 10,
    /// Bytes of one reply, and of the replies of one batch: past it, the remaining calls of the batch are refused without
    /// being started, and those under way that change nothing are given up. 64 MiB.
    reply_bytes: usize = 64 << 20,
    /// Bytes of all replies that their callers have not read yet. The last quarter is kept for replies of up to 64 KiB.
    /// 128 MiB.
    replies_bytes: usize = 128 << 20,
    /// Calls under way at once, those of callers that have left included. 16,384.
    concurrent_calls: usize = 16_384,
    /// The same for calls of reserved methods. 4,096.
    concurrent_peer_calls: usize = 4_096,
    /// Open connections; when there are more, those that have been idle for longest are closed. The limit of the process
    /// on open files lowers it: see [`Limits::reserved_descriptors`](#structfield.reserved_descriptors). 4,096.
    connections: usize = 4_096,
    /// File descriptors that connections leave to everything else in the process, such as files and connections to other
    /// servers; at most half of those that the process may open. 128.
    reserved_descriptors: usize = 128,
    /// Bytes of the head of a request; at least 8 KiB. 32 KiB.
    head_bytes: usize = 32 << 10,
    /// How long a head may take to arrive, and how long a connection may be idle. 30 s.
    header_timeout: Duration = Duration::from_secs(30),
    /// How long a body may take to arrive, beyond the time that it takes at `body_rate`. 10 s.
    body_timeout: Duration = Duration::from_secs(10),
    /// The bytes a second at which a large body must arrive. 64 KiB.
    body_rate: usize = 64 << 10,
    /// How long a caller may take to read 64 KiB of a reply, or the rest of it. 30 s. Served by
    /// [`into_router`](crate::HttpServer::into_router), connections belong to the application, which must bound this itself.
    write_timeout: Duration = Duration::from_secs(30),
    /// How long a shutdown waits for calls that are under way. 4 s.
    shutdown_timeout: Duration = Duration::from_secs(4),
}
