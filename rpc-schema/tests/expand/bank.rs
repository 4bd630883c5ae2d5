//! Several parameters, none, and an error of its own.

#[service(prefix = "bank")]
trait Bank: Send + Sync {
    /// Moves money.
    #[rpc(idempotent, retry = 3, deprecated = "use `transfer`")]
    async fn send_money(&self, from: Account, to: Account, cents: u64) -> Result<Receipt, BankError>;

    async fn accounts(&self) -> RpcResult<Page<Account>>;
}
