//! The instance metadata service, version 2: a token, then bounded GETs, all within one deadline.
//!
//! No environment variable, proxy, redirect or name service can change where a request goes.

mod endpoint;
mod error;
mod retry;
mod session;

pub use endpoint::{Endpoint, NotAnEndpoint};
pub use error::{ImdsError, change_option};
pub use session::{Body, ImdsSession, ServerHeaders, TOKEN_TTL_SECONDS};
