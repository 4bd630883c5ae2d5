//! What becomes of `kv.rs`.

/// A versioned key-value store.
pub trait Kv: Send + Sync {
    /// Reads a key.
    fn get<'life0, 'async_trait>(
        &'life0 self,
        args: GetArgs,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<GetReply>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
    /// Writes a key.
    fn put<'life0, 'async_trait>(
        &'life0 self,
        args: PutArgs,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<PutReply>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
}

/// The types of the methods of `Kv`.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
struct KvMethods;

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl ::traitwire::codegen::Method<0> for KvMethods {
    type Arguments = GetArgs;
    type Reply = GetReply;
    type Error = ::traitwire::RpcError;
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl ::traitwire::codegen::Method<1> for KvMethods {
    type Arguments = PutArgs;
    type Reply = PutReply;
    type Error = ::traitwire::RpcError;
}

/// What the service [`Kv`] is: its methods, their attributes and their schemas.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
pub static KV_SERVICE: ::traitwire::codegen::ServiceDescriptor = ::traitwire::codegen::ServiceDescriptor {
    name: "Kv",
    prefix: "",
    docs: "A versioned key-value store.",
    compat: ::traitwire::codegen::Compat::Full,
    is_internal: false,
    methods: &[KvStub::GET, KvStub::PUT],
    reserved: &[],
    fingerprint: 0x205209d1c87edc72,
    file: ::core::file!(),
    line: ::core::line!(),
};

/// Serves an implementation of [`Kv`]: calls by name become calls of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[allow(missing_debug_implementations)]
pub struct KvServer<T: ?::core::marker::Sized> {
    inner: ::std::sync::Arc<T>,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T> KvServer<T> {
    /// Serves `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner: ::std::sync::Arc::new(inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: ?::core::marker::Sized> KvServer<T> {
    /// Serves what others hold too.
    pub fn from_arc(inner: ::std::sync::Arc<T>) -> Self {
        Self { inner }
    }
}

#[automatically_derived]
impl<T: ?::core::marker::Sized> ::core::clone::Clone for KvServer<T> {
    fn clone(&self) -> Self {
        Self {
            inner: ::core::clone::Clone::clone(&self.inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: Kv + ?::core::marker::Sized> KvServer<T> {
    #[allow(unused_variables)]
    async fn respond(
        &self,
        name: &str,
        arguments: &str,
    ) -> ::core::result::Result<::std::string::String, ::traitwire::RpcError> {
        match name {
            "get" => {
                ::traitwire::codegen::answer::<
                    KvMethods,
                    0,
                >(
                        KvStub::GET,
                        arguments,
                        |arguments| <T as Kv>::get(&*self.inner, arguments),
                    )
                    .await
            }
            "put" => {
                ::traitwire::codegen::answer::<
                    KvMethods,
                    1,
                >(
                        KvStub::PUT,
                        arguments,
                        |arguments| <T as Kv>::put(&*self.inner, arguments),
                    )
                    .await
            }
            _ => {
                ::core::result::Result::Err(
                    ::traitwire::codegen::unknown_method(&[&KV_SERVICE], name),
                )
            }
        }
    }
}

#[automatically_derived]
impl<T: Kv + ?::core::marker::Sized + 'static> ::traitwire::Server for KvServer<T> {
    fn dispatch<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
        arguments: ::std::string::String,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, ::std::string::String>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        ::std::boxed::Box::pin(async move {
            ::traitwire::codegen::to_wire(self.respond(name, &arguments).await)
        })
    }
    fn try_dispatch<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
        arguments: ::traitwire::codegen::Bytes,
    ) -> ::traitwire::codegen::BoxFuture<
        'async_trait,
        ::core::result::Result<::traitwire::codegen::Bytes, ::traitwire::RpcError>,
    >
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        ::std::boxed::Box::pin(async move {
            self.respond(name, ::traitwire::codegen::text(&arguments)?)
                .await
                .map(::core::convert::Into::into)
        })
    }
    fn method(
        &self,
        name: &str,
    ) -> ::core::option::Option<&'static ::traitwire::codegen::MethodDescriptor> {
        KV_SERVICE.method(name)
    }
    fn services(
        &self,
    ) -> ::std::vec::Vec<&'static ::traitwire::codegen::ServiceDescriptor> {
        ::std::vec![& KV_SERVICE]
    }
}

/// Calls [`Kv`] on a server: the client side of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct KvStub {
    client: ::traitwire::RpcClient,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl KvStub {
    /// What `get` is: its attributes and its schemas.
    pub const GET: &'static ::traitwire::codegen::MethodDescriptor = &::traitwire::codegen::MethodDescriptor {
        name: "get",
        aliases: &[],
        docs: "Reads a key.",
        idempotency: ::traitwire::codegen::Idempotency::ReadOnly,
        timeout_ms: ::core::option::Option::Some(2000),
        retries: ::core::option::Option::None,
        hedge_ms: ::core::option::Option::Some(20),
        detach: false,
        deprecated: ::core::option::Option::None,
        parameters: ::traitwire::codegen::Parameters::Message,
        arguments: ::traitwire::codegen::arguments_schema::<KvMethods, 0>,
        reply: ::traitwire::codegen::reply_schema::<KvMethods, 0>,
        error: ::core::option::Option::None,
    };
    /// What `put` is: its attributes and its schemas.
    pub const PUT: &'static ::traitwire::codegen::MethodDescriptor = &::traitwire::codegen::MethodDescriptor {
        name: "put",
        aliases: &[],
        docs: "Writes a key.",
        idempotency: ::traitwire::codegen::Idempotency::None,
        timeout_ms: ::core::option::Option::None,
        retries: ::core::option::Option::None,
        hedge_ms: ::core::option::Option::None,
        detach: true,
        deprecated: ::core::option::Option::None,
        parameters: ::traitwire::codegen::Parameters::Message,
        arguments: ::traitwire::codegen::arguments_schema::<KvMethods, 1>,
        reply: ::traitwire::codegen::reply_schema::<KvMethods, 1>,
        error: ::core::option::Option::None,
    };
    /// Calls through `client`.
    pub fn new(client: ::traitwire::RpcClient) -> Self {
        Self { client }
    }
    /// Calls the server at `url`, such as `http://127.0.0.1:7101`, with the default settings.
    pub fn connect(url: impl ::core::convert::Into<::std::string::String>) -> Self {
        Self::new(::traitwire::RpcClient::new(::core::convert::Into::into(url), 0))
    }
    /// The client that carries the calls.
    pub fn client(&self) -> &::traitwire::RpcClient {
        &self.client
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl Kv for KvStub {
    fn get<'life0, 'async_trait>(
        &'life0 self,
        args: GetArgs,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<GetReply>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        ::traitwire::codegen::ask::<KvMethods, 0>(&self.client, Self::GET, args)
    }
    fn put<'life0, 'async_trait>(
        &'life0 self,
        args: PutArgs,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<PutReply>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        ::traitwire::codegen::ask::<KvMethods, 1>(&self.client, Self::PUT, args)
    }
}

::traitwire::codegen::if_testing! {
    /// A [`Kv`] for tests, which answers as it is told. A method without an answer is `unimplemented`.
    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[allow(missing_debug_implementations)]
    #[derive(::core::default::Default)]
    pub struct KvMock {
        get: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                    GetArgs,
                ) -> RpcResult<GetReply> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
        put: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                    PutArgs,
                ) -> RpcResult<PutReply> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    impl KvMock {
        /// A mock without answers.
        pub fn new() -> Self {
            ::core::default::Default::default()
        }
        /// Answers `get` with what `answer` gives.
        #[must_use]
        pub fn on_get(
            mut self,
            answer: impl ::core::ops::Fn(
                GetArgs,
            ) -> RpcResult<GetReply> + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.get = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
        /// Answers `put` with what `answer` gives.
        #[must_use]
        pub fn on_put(
            mut self,
            answer: impl ::core::ops::Fn(
                PutArgs,
            ) -> RpcResult<PutReply> + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.put = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[automatically_derived]
    impl Kv for KvMock {
        fn get<'life0, 'async_trait>(
            &'life0 self,
            args: GetArgs,
        ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<GetReply>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.get {
                    ::core::option::Option::Some(answer) => answer(args),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            ::traitwire::codegen::unanswered::<
                                KvMethods,
                                0,
                            >("`KvMock` has no answer for `get`: give it one with `on_get`"),
                        )
                    }
                }
            })
        }
        fn put<'life0, 'async_trait>(
            &'life0 self,
            args: PutArgs,
        ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<PutReply>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.put {
                    ::core::option::Option::Some(answer) => answer(args),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            ::traitwire::codegen::unanswered::<
                                KvMethods,
                                1,
                            >("`KvMock` has no answer for `put`: give it one with `on_put`"),
                        )
                    }
                }
            })
        }
    }
}
