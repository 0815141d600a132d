//! eic-agent
