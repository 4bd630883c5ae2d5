//! Message types with type parameters of their own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::RpcResult;

/// Some of many.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    next: Option<u64>,
}

#[traitwire::service]
pub(crate) trait Pages: Send + Sync {
    async fn first(&self, sizes: BTreeMap<String, Page<u8>>) -> RpcResult<Page<Page<String>>>;

    async fn second(&self, at: (u8, [u16; 2]), page: Option<Page<u8>>) -> RpcResult<Option<Page<u8>>>;

    async fn third(&self, text: std::borrow::Cow<'static, str>) -> RpcResult<Box<Page<()>>>;
}

struct Empty;

#[traitwire::async_trait]
impl Pages for Empty {
    async fn first(&self, sizes: BTreeMap<String, Page<u8>>) -> RpcResult<Page<Page<String>>> {
        let items = sizes.into_keys().collect();
        Ok(Page { items: vec![Page { items, next: None }], next: Some(1) })
    }

    async fn second(&self, at: (u8, [u16; 2]), page: Option<Page<u8>>) -> RpcResult<Option<Page<u8>>> {
        Ok(page.filter(|_| at.0 > 0))
    }

    async fn third(&self, text: std::borrow::Cow<'static, str>) -> RpcResult<Box<Page<()>>> {
        Ok(Box::new(Page { items: vec![(); text.len()], next: None }))
    }
}

#[tokio::test]
async fn they_pass_like_any_other() {
    let stub = PagesStub::new(super::client(PagesServer::new(Empty)));
    let sizes = BTreeMap::from([("a".to_owned(), Page { items: vec![1], next: None })]);
    let first = stub.first(sizes).await.unwrap();
    assert_eq!(first.items, [Page { items: vec!["a".to_owned()], next: None }]);
    let page = || Some(Page { items: vec![1, 2], next: Some(3) });
    assert_eq!(stub.second((1, [2, 3]), page()).await, Ok(page()));
    assert_eq!(stub.second((0, [2, 3]), page()).await, Ok(None));
    assert_eq!(stub.third("ab".into()).await.unwrap().items.len(), 2);
}
