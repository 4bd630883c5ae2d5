//! No parameter, one, several.

use serde_json::json;
use traitwire::{Parameters, RpcResult};

use super::dispatch;

#[traitwire::service(prefix = "shapes")]
pub(crate) trait Shapes: Send + Sync {
    /// No parameter.
    #[rpc(read_only)]
    async fn names(&self) -> RpcResult<Vec<String>>;

    /// One parameter is the message itself.
    #[rpc(read_only)]
    async fn perimeter(&self, sides: Vec<u32>) -> RpcResult<u32>;

    /// Several parameters are its fields.
    #[rpc(read_only)]
    async fn area(&self, width: u32, height: u32) -> RpcResult<u32>;

    /// Parameters may be called what generated code calls its own variables.
    async fn clash(&self, arguments: u8, name: u8, client: u8, answer: Option<u8>) -> RpcResult<u8>;
}

pub(crate) struct Square;

#[traitwire::async_trait]
impl Shapes for Square {
    async fn names(&self) -> RpcResult<Vec<String>> {
        Ok(vec!["square".to_owned()])
    }

    async fn perimeter(&self, sides: Vec<u32>) -> RpcResult<u32> {
        Ok(sides.iter().sum())
    }

    async fn area(&self, width: u32, height: u32) -> RpcResult<u32> {
        Ok(width * height)
    }

    async fn clash(&self, arguments: u8, name: u8, client: u8, answer: Option<u8>) -> RpcResult<u8> {
        Ok(arguments + name + client + answer.unwrap_or(0))
    }
}

#[tokio::test]
async fn they_are_an_object_or_the_message_itself() {
    let server = ShapesServer::new(Square);
    assert_eq!(dispatch(&server, "shapes.names", "{}").await, r#"["square"]"#);
    assert_eq!(dispatch(&server, "shapes.perimeter", "[1,2,3]").await, "6");
    assert_eq!(dispatch(&server, "shapes.area", r#"{"height":4,"width":3}"#).await, "12");
    assert_eq!(dispatch(&server, "shapes.clash", r#"{"arguments":1,"name":2,"client":3}"#).await, "6");

    let missing = dispatch(&server, "shapes.area", r#"{"width":3}"#).await;
    assert!(missing.contains("invalid_argument") && missing.contains("height"), "{missing}");
    let unknown = dispatch(&server, "shapes.aera", "{}").await;
    assert!(unknown.contains("unimplemented") && unknown.contains("shapes.area"), "{unknown}");
}

#[tokio::test]
async fn they_pass_through_the_stub_in_their_order() {
    let stub = ShapesStub::new(super::client(ShapesServer::new(Square)));
    assert_eq!(stub.names().await, Ok(vec!["square".to_owned()]));
    assert_eq!(stub.perimeter(vec![1, 2]).await, Ok(3));
    assert_eq!(stub.area(3, 4).await, Ok(12));
    assert_eq!(stub.clash(1, 2, 3, Some(4)).await, Ok(10));
}

#[test]
fn the_descriptor_knows_them_and_so_does_the_schema() {
    assert_eq!(ShapesStub::NAMES.parameters, Parameters::Fields(&[]));
    assert_eq!(ShapesStub::PERIMETER.parameters, Parameters::Message);
    assert_eq!(ShapesStub::AREA.parameters, Parameters::Fields(&["width", "height"]));
    let schema = schemars::schema_for!(ShapesAreaArgs);
    assert_eq!(schema.get("required"), Some(&json!(["width", "height"])));
    assert_eq!(schema.get("description"), Some(&json!("The arguments of `shapes.area`.")));
}
