//! Generated code needs nothing that is in scope, and nothing in scope disturbs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{client, dispatch};

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Echo {
    text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Refused(String);

impl From<traitwire::RpcError> for Refused {
    fn from(error: traitwire::RpcError) -> Self {
        Self(error.to_string())
    }
}

pub(crate) mod bare {
    #![no_implicit_prelude]
    #![allow(dead_code)]

    use super::{Echo, Refused};
    use ::traitwire::RpcResult;

    // What the prelude would name, named otherwise.
    struct Option;
    struct Some;
    struct None;
    struct Result;
    struct Ok;
    struct Err;
    struct Box;
    struct Vec;
    struct String;
    struct Arc;
    struct Pin;
    struct Future;
    struct Send;
    struct Sync;
    struct Clone;
    struct Default;
    struct From;
    struct Into;
    struct Fn;
    struct Sized;
    struct Server;
    struct RpcClient;
    struct RpcError;
    mod core {}
    mod std {}
    mod alloc {}
    mod serde {}
    mod schemars {}
    mod traitwire {}

    /// With parameters of every kind, an error of its own and a default body.
    #[::traitwire::service(prefix = "bare", reserved("bare.gone"))]
    pub(crate) trait Bare: ::core::marker::Send + ::core::marker::Sync {
        #[rpc(read_only, timeout = "2s", hedge = "20ms", retry = 1)]
        async fn one(&self, echo: Echo) -> RpcResult<Echo>;

        #[rpc(idempotent, aliases("two"), deprecated = "use one")]
        async fn several(&self, text: ::std::string::String, times: u8) -> RpcResult<::std::string::String>;

        async fn none(&self) -> ::core::result::Result<(), Refused>;

        async fn defaulted(&self, mut text: ::std::string::String) -> RpcResult<::std::string::String> {
            text.push('!');
            let echo = self.one(Echo { text }).await?;
            ::core::result::Result::Ok(echo.text)
        }
    }
}

use bare::{Bare, BareServer, BareStub};

struct Plain;

#[traitwire::async_trait]
impl Bare for Plain {
    async fn one(&self, echo: Echo) -> traitwire::RpcResult<Echo> {
        Ok(echo)
    }

    async fn several(&self, text: String, times: u8) -> traitwire::RpcResult<String> {
        Ok(text.repeat(times.into()))
    }

    async fn none(&self) -> Result<(), Refused> {
        Err(Refused("no".to_owned()))
    }
}

#[tokio::test]
#[allow(deprecated)]
async fn without_a_prelude_everything_works() {
    let stub = BareStub::new(client(BareServer::new(Plain)));
    assert_eq!(stub.one(Echo { text: "a".to_owned() }).await.unwrap().text, "a");
    assert_eq!(stub.several("ab".to_owned(), 2).await.as_deref(), Ok("abab"));
    assert_eq!(stub.none().await, Err(Refused("no".to_owned())));
    assert_eq!(stub.defaulted("a".to_owned()).await.as_deref(), Ok("a!"));
    assert_eq!(dispatch(&BareServer::new(Plain), "two", r#"{"text":"x","times":3}"#).await, "\"xxx\"");
}
