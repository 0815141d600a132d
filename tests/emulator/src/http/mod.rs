//! HTTP/1.1 over blocking sockets. A test can replace any part of a response or take over the connection.

pub mod client;
pub mod request;
pub mod response;
pub mod server;
pub mod wire;

pub use request::Request;
pub use response::Response;
pub use server::{Action, Answer, Handler, RawBehaviour, Server, Service};
pub use wire::Wire;
