//! Authentication and a log, put around every call of a service: one trait serves both sides.
//! `cargo run --example layers`

use std::time::Instant;

use traitwire::http::{HeaderValue, header};
use traitwire::{Bytes, Call, Code, HttpServer, Layer, Next, RpcClient, RpcError, RpcResult, async_trait};

/// Tells the time, to those who may know.
#[traitwire::service]
pub trait Clock: Send + Sync {
    /// The seconds since the epoch.
    #[rpc(read_only)]
    async fn now(&self) -> RpcResult<u64>;
}

struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    async fn now(&self) -> RpcResult<u64> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map(|since| since.as_secs()).map_err(|error| RpcError::internal(error.to_string()))
    }
}

const TOKEN: HeaderValue = HeaderValue::from_static("Bearer sesame");

/// On the server: lets in only who knows the token.
struct RequireToken;

#[async_trait]
impl Layer for RequireToken {
    async fn call(&self, call: Call, next: Next<'_>) -> RpcResult<Bytes> {
        match call.headers.get(header::AUTHORIZATION) {
            Some(token) if token == TOKEN => next.run(call).await,
            _ => Err(RpcError::new(Code::Unauthenticated, "this service asks for a token")),
        }
    }
}

/// On the client: sends the token, and says how long each call took.
struct SendToken;

#[async_trait]
impl Layer for SendToken {
    async fn call(&self, mut call: Call, next: Next<'_>) -> RpcResult<Bytes> {
        call.set_header(header::AUTHORIZATION, TOKEN);
        let (method, began) = (call.method.clone(), Instant::now());
        let result = next.run(call).await;
        println!("{method}: {} after {:?}", if result.is_ok() { "ok" } else { "failed" }, began.elapsed());
        result
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = HttpServer::new(ClockServer::new(SystemClock)).layer(RequireToken);
    tokio::spawn(server.serve(listener, std::future::pending()));
    match ClockStub::connect(&url).now().await {
        Err(error) if error.code() == Code::Unauthenticated => println!("without a token: {error}"),
        other => return Err(format!("a stranger was let in: {other:?}").into()),
    }
    let clock = ClockStub::new(RpcClient::builder(&url).layer(SendToken).build());
    println!("it is {}", clock.now().await?);
    Ok(())
}
