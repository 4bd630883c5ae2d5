//! What becomes of `bank.rs`.

trait Bank: Send + Sync {
    /// Moves money.
    #[deprecated = "use `transfer`"]
    fn send_money<'life0, 'async_trait>(
        &'life0 self,
        from: Account,
        to: Account,
        cents: u64,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, Result<Receipt, BankError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
    fn accounts<'life0, 'async_trait>(
        &'life0 self,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<Page<Account>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;
}

#[allow(unused_imports)]
use ::core::convert::Into as _;

/// The arguments of `bank.send_money`.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[allow(missing_docs)]
#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::traitwire::codegen::serde::Serialize,
    ::traitwire::codegen::serde::Deserialize,
    ::traitwire::codegen::schemars::JsonSchema,
)]
#[serde(crate = "::traitwire::codegen::serde")]
#[schemars(crate = "::traitwire::codegen::schemars", rename = "BankSendMoneyArgs")]
struct BankSendMoneyArgs<T0 = Account, T1 = Account, T2 = u64> {
    from: T0,
    to: T1,
    cents: T2,
}

/// The arguments of `bank.accounts`.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[allow(missing_docs)]
#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::traitwire::codegen::serde::Serialize,
    ::traitwire::codegen::serde::Deserialize,
    ::traitwire::codegen::schemars::JsonSchema,
)]
#[serde(crate = "::traitwire::codegen::serde")]
#[schemars(crate = "::traitwire::codegen::schemars", rename = "BankAccountsArgs")]
struct BankAccountsArgs {}

/// The types of the methods of `Bank`.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
struct BankMethods;

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl ::traitwire::codegen::Method<0> for BankMethods {
    type Arguments = BankSendMoneyArgs<Account, Account, u64>;
    type Reply = Receipt;
    type Error = BankError;
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl ::traitwire::codegen::Method<1> for BankMethods {
    type Arguments = BankAccountsArgs;
    type Reply = Page<Account>;
    type Error = ::traitwire::RpcError;
}

/// What the service [`Bank`] is: its methods, their attributes and their schemas.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
static BANK_SERVICE: ::traitwire::codegen::ServiceDescriptor = ::traitwire::codegen::ServiceDescriptor {
    name: "Bank",
    prefix: "bank",
    docs: "",
    compat: ::traitwire::codegen::Compat::Backward,
    is_internal: false,
    methods: &[BankStub::SEND_MONEY, BankStub::ACCOUNTS],
    reserved: &[],
    fingerprint: 0xc1ff12cfca21cb2e,
    file: ::core::file!(),
    line: ::core::line!(),
};

/// Serves an implementation of [`Bank`]: calls by name become calls of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[allow(missing_debug_implementations)]
struct BankServer<T: ?::core::marker::Sized> {
    inner: ::std::sync::Arc<T>,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T> BankServer<T> {
    /// Serves `inner`.
    fn new(inner: T) -> Self {
        Self {
            inner: ::std::sync::Arc::new(inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: ?::core::marker::Sized> BankServer<T> {
    /// Serves what others hold too.
    fn from_arc(inner: ::std::sync::Arc<T>) -> Self {
        Self { inner }
    }
}

#[automatically_derived]
impl<T: ?::core::marker::Sized> ::core::clone::Clone for BankServer<T> {
    fn clone(&self) -> Self {
        Self {
            inner: ::core::clone::Clone::clone(&self.inner),
        }
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl<T: Bank + ?::core::marker::Sized> BankServer<T> {
    #[allow(unused_variables)]
    async fn respond(
        &self,
        name: &str,
        arguments: &str,
    ) -> ::core::result::Result<::std::string::String, ::traitwire::RpcError> {
        match name {
            "bank.send_money" => {
                #[allow(unused_imports)]
                use ::traitwire::codegen::{Said as _, Unsaid as _};
                let status = (&::traitwire::codegen::Probe::<
                    <BankMethods as ::traitwire::codegen::Method<0>>::Error,
                >::new())
                    .status();
                ::traitwire::codegen::answer_typed::<
                    BankMethods,
                    0,
                >(
                        BankStub::SEND_MONEY,
                        arguments,
                        status,
                        |arguments| <T as Bank>::send_money(
                            &*self.inner,
                            arguments.from,
                            arguments.to,
                            arguments.cents,
                        ),
                    )
                    .await
            }
            "bank.accounts" => {
                ::traitwire::codegen::answer::<
                    BankMethods,
                    1,
                >(BankStub::ACCOUNTS, arguments, |_| <T as Bank>::accounts(&*self.inner))
                    .await
            }
            _ => {
                ::core::result::Result::Err(
                    ::traitwire::codegen::unknown_method(&[&BANK_SERVICE], name),
                )
            }
        }
    }
}

#[automatically_derived]
impl<T: Bank + ?::core::marker::Sized + 'static> ::traitwire::Server for BankServer<T> {
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
        BANK_SERVICE.method(name)
    }
    fn services(
        &self,
    ) -> ::std::vec::Vec<&'static ::traitwire::codegen::ServiceDescriptor> {
        ::std::vec![& BANK_SERVICE]
    }
}

/// Calls [`Bank`] on a server: the client side of the trait.
#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct BankStub {
    client: ::traitwire::RpcClient,
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
impl BankStub {
    /// What `bank.send_money` is: its attributes and its schemas.
    const SEND_MONEY: &'static ::traitwire::codegen::MethodDescriptor = &::traitwire::codegen::MethodDescriptor {
        name: "bank.send_money",
        aliases: &[],
        docs: "Moves money.",
        idempotency: ::traitwire::codegen::Idempotency::Idempotent,
        timeout_ms: ::core::option::Option::None,
        retries: ::core::option::Option::Some(3),
        hedge_ms: ::core::option::Option::None,
        detach: true,
        deprecated: ::core::option::Option::Some("use `transfer`"),
        parameters: ::traitwire::codegen::Parameters::Fields(&["from", "to", "cents"]),
        arguments: ::traitwire::codegen::arguments_schema::<BankMethods, 0>,
        reply: ::traitwire::codegen::reply_schema::<BankMethods, 0>,
        error: ::core::option::Option::Some(
            ::traitwire::codegen::error_schema::<BankMethods, 0>,
        ),
    };
    /// What `bank.accounts` is: its attributes and its schemas.
    const ACCOUNTS: &'static ::traitwire::codegen::MethodDescriptor = &::traitwire::codegen::MethodDescriptor {
        name: "bank.accounts",
        aliases: &[],
        docs: "",
        idempotency: ::traitwire::codegen::Idempotency::None,
        timeout_ms: ::core::option::Option::None,
        retries: ::core::option::Option::None,
        hedge_ms: ::core::option::Option::None,
        detach: true,
        deprecated: ::core::option::Option::None,
        parameters: ::traitwire::codegen::Parameters::Fields(&[]),
        arguments: ::traitwire::codegen::arguments_schema::<BankMethods, 1>,
        reply: ::traitwire::codegen::reply_schema::<BankMethods, 1>,
        error: ::core::option::Option::None,
    };
    /// Calls through `client`.
    fn new(client: ::traitwire::RpcClient) -> Self {
        Self { client }
    }
    /// Calls the server at `url`, such as `http://127.0.0.1:7101`, with the default settings.
    fn connect(url: impl ::core::convert::Into<::std::string::String>) -> Self {
        Self::new(::traitwire::RpcClient::new(::core::convert::Into::into(url), 0))
    }
    /// The client that carries the calls.
    fn client(&self) -> &::traitwire::RpcClient {
        &self.client
    }
}

#[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
#[automatically_derived]
impl Bank for BankStub {
    fn send_money<'life0, 'async_trait>(
        &'life0 self,
        from: Account,
        to: Account,
        cents: u64,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, Result<Receipt, BankError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        ::traitwire::codegen::ask_typed::<
            BankMethods,
            0,
        >(
            &self.client,
            Self::SEND_MONEY,
            BankSendMoneyArgs {
                from,
                to,
                cents,
            },
        )
    }
    fn accounts<'life0, 'async_trait>(
        &'life0 self,
    ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<Page<Account>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        ::traitwire::codegen::ask::<
            BankMethods,
            1,
        >(&self.client, Self::ACCOUNTS, BankAccountsArgs {})
    }
}

::traitwire::codegen::if_testing! {
    /// A [`Bank`] for tests, which answers as it is told. A method without an answer is `unimplemented`.
    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[allow(missing_debug_implementations)]
    #[derive(::core::default::Default)]
    struct BankMock {
        send_money: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                    Account,
                    Account,
                    u64,
                ) -> Result<Receipt, BankError> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
        accounts: ::core::option::Option<
            ::std::boxed::Box<
                dyn ::core::ops::Fn(
                ) -> RpcResult<Page<Account>> + ::core::marker::Send + ::core::marker::Sync,
            >,
        >,
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    impl BankMock {
        /// A mock without answers.
        fn new() -> Self {
            ::core::default::Default::default()
        }
        /// Answers `bank.send_money` with what `answer` gives.
        #[must_use]
        fn on_send_money(
            mut self,
            answer: impl ::core::ops::Fn(
                Account,
                Account,
                u64,
            ) -> Result<
                    Receipt,
                    BankError,
                > + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.send_money = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
        /// Answers `bank.accounts` with what `answer` gives.
        #[must_use]
        fn on_accounts(
            mut self,
            answer: impl ::core::ops::Fn(
            ) -> RpcResult<
                    Page<Account>,
                > + ::core::marker::Send + ::core::marker::Sync + 'static,
        ) -> Self {
            self.accounts = ::core::option::Option::Some(::std::boxed::Box::new(answer));
            self
        }
    }

    #[allow(dead_code, deprecated, unused_qualifications, clippy::all)]
    #[automatically_derived]
    impl Bank for BankMock {
        fn send_money<'life0, 'async_trait>(
            &'life0 self,
            from: Account,
            to: Account,
            cents: u64,
        ) -> ::traitwire::codegen::BoxFuture<'async_trait, Result<Receipt, BankError>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.send_money {
                    ::core::option::Option::Some(answer) => answer(from, to, cents),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            ::traitwire::codegen::unanswered::<
                                BankMethods,
                                0,
                            >(
                                "`BankMock` has no answer for `bank.send_money`: give it one with `on_send_money`",
                            ),
                        )
                    }
                }
            })
        }
        fn accounts<'life0, 'async_trait>(
            &'life0 self,
        ) -> ::traitwire::codegen::BoxFuture<'async_trait, RpcResult<Page<Account>>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::std::boxed::Box::pin(async move {
                match &self.accounts {
                    ::core::option::Option::Some(answer) => answer(),
                    ::core::option::Option::None => {
                        ::core::result::Result::Err(
                            ::traitwire::codegen::unanswered::<
                                BankMethods,
                                1,
                            >(
                                "`BankMock` has no answer for `bank.accounts`: give it one with `on_accounts`",
                            ),
                        )
                    }
                }
            })
        }
    }
}
