//! The whole of the agent, from outside.
