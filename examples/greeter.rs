//! A service of your own in one file: trait, server, client, schema. `cargo run --example greeter` calls it once, prints how others
//! can, and serves until Ctrl-C.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::{RpcResult, async_trait};

/// Greets people, and remembers none.
#[traitwire::service(name = "greeter")]
pub trait Greeter: Send + Sync {
    /// Greets somebody by name.
    #[rpc(read_only, timeout = "1s")]
    async fn greet(&self, args: Person) -> RpcResult<Greeting>;
}

/// Who is to be greeted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The name, as it is said.
    pub name: String,
}

/// What is said.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Greeting {
    /// The whole sentence.
    pub text: String,
}

struct Friendly;

#[async_trait]
impl Greeter for Friendly {
    async fn greet(&self, args: Person) -> RpcResult<Greeting> {
        Ok(Greeting { text: format!("Hello, {}!", args.name) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let serving = tokio::spawn(traitwire::serve(listener, GreeterServer::new(Friendly), stop));
    let greeter = GreeterStub::connect(&url);
    println!("{}", greeter.greet(Person { name: "Ada".to_owned() }).await?.text);
    let catalogue = traitwire_schema::Catalogue::new(&[&GREETER_SERVICE])?;
    println!("{}", catalogue.show("greeter.greet", &url).unwrap_or_default());
    serving.await??;
    Ok(())
}
