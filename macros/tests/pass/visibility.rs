//! Everything generated is as visible as the trait, wherever that stands.

use traitwire::RpcResult;

mod inner {
    mod private {
        /// Seen in `inner` alone.
        #[traitwire::service]
        pub(in crate::visibility) trait Restricted: Send + Sync {
            async fn one(&self, low: u8, high: u8) -> traitwire::RpcResult<u8>;
        }
    }
    pub(super) use private::*;
}

#[tokio::test]
async fn a_restricted_trait_has_restricted_companions() {
    use inner::Restricted;

    struct Low;

    #[traitwire::async_trait]
    impl Restricted for Low {
        async fn one(&self, low: u8, _high: u8) -> RpcResult<u8> {
            Ok(low)
        }
    }

    let stub = inner::RestrictedStub::new(super::client(inner::RestrictedServer::new(Low)));
    assert_eq!(stub.one(1, 2).await, Ok(1));
    assert_eq!(inner::RESTRICTED_SERVICE.methods.len(), 1);
}

#[tokio::test]
async fn a_trait_can_stand_in_a_function_with_types_of_its_own() {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    struct Local(u8);

    #[traitwire::service]
    trait Hidden: Send + Sync {
        async fn next(&self, local: Local) -> RpcResult<Local>;
    }

    struct Next;

    #[traitwire::async_trait]
    impl Hidden for Next {
        async fn next(&self, local: Local) -> RpcResult<Local> {
            Ok(Local(local.0 + 1))
        }
    }

    let stub = HiddenStub::new(super::client(HiddenServer::new(Next)));
    assert_eq!(stub.next(Local(1)).await.unwrap().0, 2);
}

#[tokio::test]
async fn a_trait_can_come_from_a_macro() {
    macro_rules! counter {
        ($name:ident, $method:ident, $ty:ty) => {
            #[traitwire::service]
            trait $name: Send + Sync {
                async fn $method(&self, by: $ty) -> RpcResult<$ty>;
            }
        };
    }
    counter!(Counter, add, Vec<u8>);
    let mock = CounterMock::new().on_add(Ok);
    assert_eq!(CounterStub::new(super::client(CounterServer::new(mock))).add(vec![1]).await, Ok(vec![1]));
}
