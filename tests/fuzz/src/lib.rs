//! The fuzz targets: the work of each with its input, and the properties that must hold for every input.

pub mod http;
pub mod slowest;
pub mod targets;
