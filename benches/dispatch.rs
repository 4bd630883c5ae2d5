//! What generated dispatch costs beside the same `match` written by hand, in process, in instructions:
//!
//! ```sh
//! cargo bench --bench dispatch --no-run
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/dispatch-* generated 100000
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/dispatch-* by-hand 100000
//! ```
//!
//! Without arguments it runs each a few times, as a check that both answer the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::{RpcResult, Server};

/// Two methods, so that there is something to choose.
#[traitwire::service]
pub trait Echo: Send + Sync {
    /// Gives back the message.
    async fn echo(&self, message: Message) -> RpcResult<Message>;
    /// Gives back the message with the next version.
    async fn next(&self, message: Message) -> RpcResult<Message>;
}

/// About 100 bytes as JSON.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// 16 bytes.
    pub key: String,
    /// 64 bytes.
    pub value: String,
    /// Any number.
    pub version: u64,
}

struct Echoing;

#[traitwire::async_trait]
impl Echo for Echoing {
    async fn echo(&self, message: Message) -> RpcResult<Message> {
        Ok(message)
    }

    async fn next(&self, message: Message) -> RpcResult<Message> {
        Ok(Message { version: message.version + 1, ..message })
    }
}

/// The same by hand, calling the same trait.
struct ByHand(Echoing);

#[traitwire::async_trait]
impl Server for ByHand {
    async fn dispatch(&self, name: &str, args: String) -> String {
        let reply = match name {
            "echo" => match serde_json::from_str(&args) {
                Ok(message) => self.0.echo(message).await,
                Err(error) => return error.to_string(),
            },
            "next" => match serde_json::from_str(&args) {
                Ok(message) => self.0.next(message).await,
                Err(error) => return error.to_string(),
            },
            _ => return format!("no method {name}"),
        };
        match reply {
            Ok(reply) => serde_json::to_string(&reply).unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let message = Message { key: "k".repeat(16), value: "v".repeat(64), version: 7 };
    let text = serde_json::to_string(&message).expect("a message is JSON");
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O always starts");
    let generated = EchoServer::new(Echoing);
    let by_hand = ByHand(Echoing);
    let run = |server: &dyn Server, calls: u64| {
        runtime.block_on(async {
            for _ in 0..calls {
                assert_eq!(server.dispatch("echo", text.clone()).await.len(), text.len());
            }
        });
    };
    match (arguments.first().map(String::as_str), arguments.get(1).and_then(|calls| calls.parse().ok())) {
        (Some("generated"), Some(calls)) => run(&generated, calls),
        (Some("by-hand"), Some(calls)) => run(&by_hand, calls),
        _ => {
            run(&generated, 1_000);
            run(&by_hand, 1_000);
        }
    }
}
