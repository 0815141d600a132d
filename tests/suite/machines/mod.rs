//! Broken machines. What the commands say about each of them must agree with real logins, and each fix that is a command
//! must repair the machine.
//!
//! | file | |
//! | --- | --- |
//! | [`agreement`] | compares the commands with logins; the tables in `doctor` use it for each row |
//! | [`advice`] | checks each setting of a fix with sshd, and runs each fix that is a command |
//! | [`random`] | random machines, each from its seed |
//! | [`choices`] | from which parts a random machine is made |

pub(crate) mod advice;
pub(crate) mod agreement;
mod choices;
mod random;
