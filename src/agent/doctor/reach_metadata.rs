//! Tries connections to the metadata service as root and as the user of the checks. A firewall can refuse one user and
//! let another through (nft `meta skuid`, iptables `--uid-owner`).

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_login::imds::Endpoint;
use nix::unistd::Uid;

use crate::reach;

/// The endpoints to which root connects. Nothing is sent, and nothing is read.
#[derive(Debug, Default)]
pub(super) struct RootConnects(Vec<Endpoint>);

impl RootConnects {
    /// Connects as root, before root's rights are given up. For other users this does nothing.
    pub(super) fn try_all(endpoints: Vec<Endpoint>) -> Self {
        if !Uid::effective().is_root() {
            return Self::default();
        }
        Self(endpoints.into_iter().filter(connects).collect())
    }

    /// Whether a firewall refuses the user of this process. Call this after root's rights were given up. It is true if
    /// root connected to some endpoints, and this user connects to none of them.
    pub(super) fn is_refused_by_user(&self) -> bool {
        !Uid::effective().is_root() && !self.0.is_empty() && !self.0.iter().any(connects)
    }
}

fn connects(endpoint: &Endpoint) -> bool {
    endpoint.address().is_some_and(|address| reach::connects(&address))
}

/// The name of this process's user, if that is `root`, `eic-agent` or `nobody`. For any other user, the user id.
pub(super) fn own_name() -> String {
    let uid = Uid::effective().as_raw();
    let known = ["root", IDENT, "nobody"];
    let name = known.into_iter().find(|name| Account::find(name).is_some_and(|account| account.uid == uid));
    name.map_or_else(|| format!("uid {uid}"), str::to_owned)
}
