//! Settings of an [`RpcClient`].

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{RpcClient, Shared, TransportEndpoint};
use crate::call::{CLIENT_ID, Call};
use crate::layer::Layer;
use crate::retry::{Retry, RetryBudget};
use crate::transport::{CoalesceLimits, HttpTransport, Transport};

/// The deadline of a call whose method names none.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Builds an [`RpcClient`].
pub struct RpcClientBuilder {
    url: String,
    client_id: usize,
    headers: HeaderMap,
    timeout: Duration,
    retry: Retry,
    coalesce: CoalesceLimits,
    layers: Vec<Arc<dyn Layer>>,
    transport: Option<Arc<dyn Transport>>,
}

impl RpcClientBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            client_id: 0,
            headers: HeaderMap::new(),
            timeout: TIMEOUT_DEFAULT,
            retry: Retry::default(),
            coalesce: CoalesceLimits::default(),
            layers: Vec::new(),
            transport: None,
        }
    }

    /// The id sent with every call.
    #[must_use]
    pub fn client_id(mut self, client_id: usize) -> Self {
        self.client_id = client_id;
        self
    }

    /// A header sent with every call.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The deadline of a call whose method names none. 10 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How calls that may be repeated are repeated.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How calls made at the same time share exchanges.
    #[must_use]
    pub fn coalesce(mut self, limits: CoalesceLimits) -> Self {
        self.coalesce = limits;
        self
    }

    /// Puts a layer around every call, inside those that were added before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Sends calls through `transport` instead of HTTP.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The client.
    pub fn build(self) -> RpcClient {
        let mut base = Call::new("", "");
        base.headers = Arc::new(self.headers);
        base.set_header(CLIENT_ID.clone(), HeaderValue::from(self.client_id));
        let transport =
            self.transport.unwrap_or_else(|| Arc::new(HttpTransport::new(&self.url, self.coalesce)));
        RpcClient {
            shared: Arc::new(Shared {
                client_id: self.client_id,
                base,
                timeout: self.timeout,
                retry: self.retry,
                budget: RetryBudget::default(),
                layers: self.layers,
                endpoint: TransportEndpoint(transport),
            }),
        }
    }
}
