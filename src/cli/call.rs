//! `traitwire call METHOD [JSON]`.

use serde_json::Value;

use super::{Endpoints, Failure};

#[derive(clap::Args)]
pub(super) struct Call {
    /// The method's name on the wire, such as `get`.
    method: String,
    /// The arguments.
    #[arg(default_value = "{}")]
    json: String,
    #[command(flatten)]
    endpoints: Endpoints,
}

impl Call {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let arguments: Value = serde_json::from_str(&self.json)
            .map_err(|error| Failure::with_code(2, format!("the arguments are no JSON: {error}")))?;
        let reply: Value =
            self.endpoints.first()?.try_call(&self.method, &arguments).await.map_err(Failure::new)?;
        println!("{}", serde_json::to_string_pretty(&reply).map_err(Failure::new)?);
        Ok(0)
    }
}
