//! The instance metadata service, version 2: a token, then bounded GETs, all within one deadline.
//!
//! No environment variable, proxy, redirect or name service can change where a request goes.

mod endpoint;
mod error;
mod exchange;
mod retry;
mod session;

pub use endpoint::{Endpoint, NotAnEndpoint};
pub use error::{ImdsError, change_option};
pub use exchange::ServerHeaders;
pub use session::{Body, ImdsSession, TOKEN_TTL_SECONDS};
