//! Requests to the metadata service by commands that people run. A login has a runtime of its own.

use eic_login::imds::ImdsError;

/// Runs requests until they end. Their own time limit bounds the time.
pub(crate) fn ask<T>(requests: impl Future<Output = Result<T, ImdsError>>) -> Result<T, ImdsError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime =
        runtime.map_err(|error| ImdsError::Unreachable("the network".to_owned(), error.to_string()))?;
    runtime.block_on(requests)
}
