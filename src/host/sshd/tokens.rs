//! Expands the tokens in the arguments of sshd's commands.

use eic_core::fingerprint::Fingerprint;
use eic_core::identity::LoginName;

use crate::accounts::Account;

/// Expands a word as sshd does (`sshd_config(5)`, TOKENS).
pub fn expand(word: &str, user: &LoginName, offered: Option<&Fingerprint>) -> Result<String, String> {
    let account = || Account::find(user.as_str()).ok_or_else(|| format!("{user} is not in /etc/passwd"));
    let mut expanded = String::new();
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match characters.next() {
            Some('%') => expanded.push('%'),
            Some('u') => expanded.push_str(user.as_str()),
            Some('f') => expanded.push_str(&offered.map(ToString::to_string).unwrap_or_default()),
            Some('h') => expanded.push_str(&account()?.home),
            Some('U') => expanded.push_str(&account()?.uid.to_string()),
            other => {
                let token: String = other.into_iter().collect();
                return Err(format!(
                    "an argument contains %{token}, which only a real login has; the program was not run"
                ));
            }
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_expanded() {
        let user = LoginName::try_from("root").unwrap();
        for (word, expected) in [("%u", "root"), ("a%%%U-%f", "a%0-"), ("plain", "plain")] {
            assert_eq!(expand(word, &user, None).as_deref(), Ok(expected), "{word}");
        }
        assert_eq!(expand("%h/x", &user, None), Ok(format!("{}/x", Account::find("root").unwrap().home)));
        assert!(expand("%k", &user, None).unwrap_err().contains("%k"));
        assert!(expand("x%", &user, None).is_err());
    }
}
