//! What must compile, and what it then does. Lints that a careful user may turn on are on, so that generated code is
//! shown to raise none of them.
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications, missing_debug_implementations)]
#![allow(clippy::unwrap_used)]

mod conditional;
mod defaults;
mod descriptor;
mod generic;
mod hygiene;
mod mock;
mod parameters;
mod raw;
mod renamed;
mod typed;
mod visibility;

use std::sync::Arc;

use traitwire::{RpcClient, Server};

/// A client of `server`, through JSON.
fn client(server: impl Server + 'static) -> RpcClient {
    RpcClient::in_process(server)
}

/// The reply of `server` to a call by name.
async fn dispatch(server: &impl Server, name: &str, arguments: &str) -> String {
    server.dispatch(name, arguments.to_owned()).await
}

/// A service behind `Arc<dyn _>` on both sides.
#[tokio::test]
async fn stub_server_and_implementation_are_one_trait() {
    use parameters::{Shapes, ShapesServer, ShapesStub, Square};

    let implementation: Arc<dyn Shapes> = Arc::new(Square);
    let stub: Arc<dyn Shapes> =
        Arc::new(ShapesStub::new(client(ShapesServer::from_arc(implementation.clone()))));
    // A server of a server's client: any number of them can be chained.
    let chained: Arc<dyn Shapes> = Arc::new(ShapesStub::new(client(ShapesServer::from_arc(stub.clone()))));
    for service in [implementation, stub, chained] {
        assert_eq!(service.area(3, 4).await, Ok(12));
    }
}
