//! `#[cfg]` on methods, with types that exist only then.

use traitwire::RpcResult;

use super::dispatch;

#[traitwire::service]
pub(crate) trait Conditional: Send + Sync {
    async fn always(&self) -> RpcResult<u8>;

    #[cfg(debug_assertions)]
    async fn platform(&self, one: u8, other: u8) -> RpcResult<u8>;

    /// The same name, where the other does not exist.
    #[cfg(not(debug_assertions))]
    async fn platform(&self, text: String) -> RpcResult<u8>;

    #[cfg(any())]
    async fn never(&self, args: DoesNotExist, other: DoesNotExist) -> Result<NorDoesThis, NorThis>;
}

/// The condition may stand on either side of the annotation.
#[traitwire::service]
#[cfg(any())]
pub(crate) trait Absent: Send + Sync {
    async fn absent(&self, args: DoesNotExist) -> RpcResult<u8>;
}

#[traitwire::service(prefix = "present")]
#[cfg(not(any()))]
pub(crate) trait Present: Send + Sync {
    async fn present(&self) -> RpcResult<u8>;
}

struct Here;

#[traitwire::async_trait]
impl Conditional for Here {
    async fn always(&self) -> RpcResult<u8> {
        Ok(1)
    }

    #[cfg(debug_assertions)]
    async fn platform(&self, one: u8, other: u8) -> RpcResult<u8> {
        Ok(one + other)
    }

    #[cfg(not(debug_assertions))]
    async fn platform(&self, text: String) -> RpcResult<u8> {
        Ok(text.len() as u8)
    }
}

#[tokio::test]
async fn a_method_whose_condition_fails_does_not_exist() {
    let names: Vec<_> = CONDITIONAL_SERVICE.methods.iter().map(|method| method.name).collect();
    assert_eq!(names, ["always", "platform"]);
    assert_eq!(PRESENT_SERVICE.methods[0].name, "present.present");
    let server = ConditionalServer::new(Here);
    assert_eq!(dispatch(&server, "always", "{}").await, "1");
    let arguments = if cfg!(debug_assertions) { r#"{"one":1,"other":1}"# } else { "\"ab\"" };
    assert_eq!(dispatch(&server, "platform", arguments).await, "2");
    assert!(dispatch(&server, "never", "{}").await.contains("unimplemented"));
}
