//! What becomes of `raw.rs`.

pub(crate) trait Files: Base {
    #[cfg(unix)]
    fn r#mod<'life0, 'async_trait>(
        &'life0 self,
        r#type: Vec<u8>,
    ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<()>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
    #[allow(
        clippy::diverging_sub_expression,
        clippy::let_unit_value,
        clippy::needless_return
    )]
    fn size<'life0, 'async_trait>(
        &'life0 self,
        path: String,
    ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<u64>>
    where
        'life0: 'async_trait,
        Self: ::core::marker::Sync + 'async_trait,
    {
        ::std::boxed::Box::pin(async move {
            if let ::core::option::Option::Some(reply) = ::core::option::Option::None::<
                RpcResult<u64>,
            > {
                return reply;
            }
            let mut path = path;
            let reply: RpcResult<u64> = {
                path.push('/');
                Ok(path.len() as u64)
            };
            #[allow(unreachable_code)] reply
        })
    }
}

/// The types of the methods of `Files`.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
struct FilesMethods;

#[cfg(unix)]
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl crate::wire::codegen::Method<0> for FilesMethods {
    type Arguments = Vec<u8>;
    type Reply = ();
    type Error = crate::wire::RpcError;
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl crate::wire::codegen::Method<1> for FilesMethods {
    type Arguments = String;
    type Reply = u64;
    type Error = crate::wire::RpcError;
}

/// What the service [`Files`] is: its methods, their attributes and their schemas.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
pub(crate) static FILES_SERVICE: crate::wire::codegen::ServiceDescriptor = crate::wire::codegen::ServiceDescriptor {
    name: "Files",
    prefix: "",
    docs: "",
    compat: crate::wire::codegen::Compat::Backward,
    is_internal: false,
    methods: &[#[cfg(unix)] FilesStub::MOD, FilesStub::SIZE],
    reserved: &["remove"],
    fingerprint: 0x51c8959ba095460e,
    file: ::core::file!(),
    line: ::core::line!(),
};

/// Serves an implementation of [`Files`]: calls by name become calls of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[allow(missing_debug_implementations)]
pub(crate) struct FilesServer<T: ?::core::marker::Sized> {
    inner: ::std::sync::Arc<T>,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T> FilesServer<T> {
    /// Serves `inner`.
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner: ::std::sync::Arc::new(inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: ?::core::marker::Sized> FilesServer<T> {
    /// Serves what others hold too.
    pub(crate) fn from_arc(inner: ::std::sync::Arc<T>) -> Self {
        Self { inner }
    }
}

#[automatically_derived]
impl<T: ?::core::marker::Sized> ::core::clone::Clone for FilesServer<T> {
    fn clone(&self) -> Self {
        Self {
            inner: ::core::clone::Clone::clone(&self.inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: Files + ?::core::marker::Sized> FilesServer<T> {
    #[allow(unused_variables)]
    async fn respond(
        &self,
        name: &str,
        arguments: &str,
    ) -> ::core::result::Result<::std::string::String, crate::wire::RpcError> {
        match name {
            #[cfg(unix)]
            "chmod" | "mode" | "fs.mode" => {
                crate::wire::codegen::answer::<
                    FilesMethods,
                    0,
                >(
                        FilesStub::MOD,
                        arguments,
                        |arguments| <T as Files>::r#mod(&*self.inner, arguments),
                    )
                    .await
            }
            "size" => {
                crate::wire::codegen::answer::<
                    FilesMethods,
                    1,
                >(
                        FilesStub::SIZE,
                        arguments,
                        |arguments| <T as Files>::size(&*self.inner, arguments),
                    )
                    .await
            }
            _ => {
                ::core::result::Result::Err(
                    crate::wire::codegen::unknown_method(&[&FILES_SERVICE], name),
                )
            }
        }
    }
}

#[automatically_derived]
impl<T: Files + ?::core::marker::Sized + 'static> crate::wire::Server
for FilesServer<T> {
    fn dispatch<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
        arguments: ::std::string::String,
    ) -> crate::wire::codegen::BoxFuture<'async_trait, ::std::string::String>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        ::std::boxed::Box::pin(async move {
            crate::wire::codegen::to_wire(self.respond(name, &arguments).await)
        })
    }
    fn try_dispatch<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
        arguments: crate::wire::codegen::Bytes,
    ) -> crate::wire::codegen::BoxFuture<
        'async_trait,
        ::core::result::Result<crate::wire::codegen::Bytes, crate::wire::RpcError>,
    >
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        ::std::boxed::Box::pin(async move {
            self.respond(name, crate::wire::codegen::text(&arguments)?)
                .await
                .map(::core::convert::Into::into)
        })
    }
    fn method(
        &self,
        name: &str,
    ) -> ::core::option::Option<&'static crate::wire::codegen::MethodDescriptor> {
        FILES_SERVICE.method(name)
    }
    fn services(
        &self,
    ) -> ::std::vec::Vec<&'static crate::wire::codegen::ServiceDescriptor> {
        ::std::vec![& FILES_SERVICE]
    }
}

/// Calls [`Files`] on a server: the client side of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub(crate) struct FilesStub {
    client: crate::wire::RpcClient,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl FilesStub {
    #[cfg(unix)]
    /// What `chmod` is: its attributes and its schemas.
    pub(crate) const MOD: &'static crate::wire::codegen::MethodDescriptor = &crate::wire::codegen::MethodDescriptor {
        name: "chmod",
        aliases: &["mode", "fs.mode"],
        docs: "",
        idempotency: crate::wire::codegen::Idempotency::None,
        timeout_ms: ::core::option::Option::None,
        retries: ::core::option::Option::None,
        hedge_ms: ::core::option::Option::None,
        detach: false,
        deprecated: ::core::option::Option::None,
        parameters: crate::wire::codegen::Parameters::Message,
        arguments: crate::wire::codegen::arguments_schema::<FilesMethods, 0>,
        reply: crate::wire::codegen::reply_schema::<FilesMethods, 0>,
        error: ::core::option::Option::None,
    };
    /// What `size` is: its attributes and its schemas.
    pub(crate) const SIZE: &'static crate::wire::codegen::MethodDescriptor = &crate::wire::codegen::MethodDescriptor {
        name: "size",
        aliases: &[],
        docs: "",
        idempotency: crate::wire::codegen::Idempotency::ReadOnly,
        timeout_ms: ::core::option::Option::None,
        retries: ::core::option::Option::None,
        hedge_ms: ::core::option::Option::None,
        detach: false,
        deprecated: ::core::option::Option::None,
        parameters: crate::wire::codegen::Parameters::Message,
        arguments: crate::wire::codegen::arguments_schema::<FilesMethods, 1>,
        reply: crate::wire::codegen::reply_schema::<FilesMethods, 1>,
        error: ::core::option::Option::None,
    };
    /// Calls through `client`.
    pub(crate) fn new(client: crate::wire::RpcClient) -> Self {
        Self { client }
    }
    /// Calls the server at `url`, such as `http://127.0.0.1:7101`, with the default settings.
    pub(crate) fn connect(
        url: impl ::core::convert::Into<::std::string::String>,
    ) -> Self {
        Self::new(crate::wire::RpcClient::new(::core::convert::Into::into(url), 0))
    }
    /// The client that carries the calls.
    pub(crate) fn client(&self) -> &crate::wire::RpcClient {
        &self.client
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl Files for FilesStub {
    #[cfg(unix)]
    fn r#mod<'life0, 'async_trait>(
        &'life0 self,
        r#type: Vec<u8>,
    ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<()>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        crate::wire::codegen::ask::<FilesMethods, 0>(&self.client, Self::MOD, r#type)
    }
    fn size<'life0, 'async_trait>(
        &'life0 self,
        path: String,
    ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<u64>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        crate::wire::codegen::ask::<FilesMethods, 1>(&self.client, Self::SIZE, path)
    }
}

crate::wire::codegen::if_testing! {
    /// A [`Files`] for tests, which answers as it is told. A method without an answer is `unimplemented`.
    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[allow(missing_debug_implementations)]
    #[derive(::core::default::Default)]
    pub(crate) struct FilesMock {
        #[cfg(unix)]
        r#mod: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                    Vec<u8>,
                ) -> RpcResult<()> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
        size: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                    String,
                ) -> RpcResult<u64> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    impl FilesMock {
        /// A mock without answers.
        pub(crate) fn new() -> Self {
            ::core::default::Default::default()
        }
        #[cfg(unix)]
        /// Answers `chmod` with what `answer` gives.
        #[must_use]
        pub(crate) fn on_mod(
            mut self,
            answer: impl ::core::ops::Fn(
                Vec<u8>,
            ) -> RpcResult<()> + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.r#mod = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
        /// Answers `size` with what `answer` gives.
        #[must_use]
        pub(crate) fn on_size(
            mut self,
            answer: impl ::core::ops::Fn(
                String,
            ) -> RpcResult<u64> + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.size = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[automatically_derived]
    impl Files for FilesMock {
        #[cfg(unix)]
        fn r#mod<'life0, 'async_trait>(
            &'life0 self,
            r#type: Vec<u8>,
        ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<()>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.r#mod {
                    ::core::option::Option::Some(answer) => answer(r#type),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            crate::wire::codegen::unanswered::<
                                FilesMethods,
                                0,
                            >(
                                "`FilesMock` has no answer for `chmod`: give it one with `on_mod`",
                            ),
                        )
                    }
                }
            })
        }
        fn size<'life0, 'async_trait>(
            &'life0 self,
            path: String,
        ) -> crate::wire::codegen::BoxFuture<'async_trait, RpcResult<u64>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.size {
                    ::core::option::Option::Some(answer) => answer(path),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            crate::wire::codegen::unanswered::<
                                FilesMethods,
                                1,
                            >(
                                "`FilesMock` has no answer for `size`: give it one with `on_size`",
                            ),
                        )
                    }
                }
            })
        }
    }
}
