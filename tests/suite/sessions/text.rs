//! By text.
