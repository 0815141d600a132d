use super::*;
use crate::policy::Policy;
use crate::verification::testing::{KEY, verified};

fn permitted(principal: &str) -> PermittedKey {
    Policy::default().permit(verified(Some(principal))).unwrap()
}

#[test]
fn each_key_is_one_line_behind_its_own_prefix() {
    let keys = [permitted("arn:x"), permitted("arn:y")];
    assert_eq!(authorized_keys(&keys, &LinePrefix::default()), format!("{KEY}\n{KEY}\n"));
    let environment = LinePrefix { environment: true, ..LinePrefix::default() };
    let line = |principal| {
        format!("environment=\"EIC_PRINCIPAL={principal}\",environment=\"EIC_REQUEST_ID=r-1\" {KEY}\n")
    };
    assert_eq!(authorized_keys(&keys, &environment), line("arn:x") + &line("arn:y"));
    assert_eq!(authorized_keys([], &environment), "");
}
