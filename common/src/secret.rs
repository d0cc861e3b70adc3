//! Secrets: read from the environment or from a file, several by commas, never printed.
//! Nothing here may put a secret, or a part of one, into an error or a log line.

use std::fmt;

use crate::error::{Error, Result};

/// A value that must not be printed. `expose` is the only way to it, and can be searched for.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret's file holds keys, not data: more than this is the wrong file.
const SECRET_FILE_BYTES_MAX: usize = 64 * 1024;

/// The secret called `name`: from the variable itself, or from the file that `{name}_FILE` names.
/// Absent or empty is `None`; both at once is an error, since nobody could say which one counts.
pub fn from_env(name: &str) -> Result<Option<Secret>> {
    read(name, |variable| std::env::var(variable).ok())
}

/// Like [`from_env`], for several secrets separated by commas (as while one is being replaced).
pub fn list_from_env(name: &str) -> Result<Vec<Secret>> {
    Ok(from_env(name)?.map(|secret| split(&secret)).unwrap_or_default())
}

fn split(secret: &Secret) -> Vec<Secret> {
    let parts = secret.expose().split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(Secret::new).collect()
}

fn read(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>> {
    let present = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let file_name = format!("{name}_FILE");
    match (present(name), present(&file_name)) {
        (None, None) => Ok(None),
        (Some(value), None) => Ok(Some(Secret::new(value.trim()))),
        (None, Some(path)) => read_file(name, &path).map(Some),
        (Some(_), Some(_)) => Err(Error::fatal(
            format!("read {name}"),
            format!("{name} and {file_name} are both set"),
        )
        .hint("unset one of the two (.env counts as well as the environment)")),
    }
}

fn read_file(name: &str, path: &str) -> Result<Secret> {
    let operation = || format!("read {name} from {path}");
    let text = std::fs::read_to_string(path).map_err(|error| Error::fatal(operation(), error))?;
    if text.len() > SECRET_FILE_BYTES_MAX {
        return Err(Error::fatal(operation(), "the file is too large for a secret"));
    }
    if text.trim().is_empty() {
        return Err(Error::fatal(operation(), "the file is empty"));
    }
    Ok(Secret::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Option<Secret>> {
        read("KEY", |name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("sk_live_1");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), "sk_live_1");
    }

    #[test]
    fn a_secret_comes_from_the_variable_or_from_its_file_but_not_from_both() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "from-file\n").expect("written");
        let path = file.path().to_string_lossy().into_owned();

        assert_eq!(with(&[]).expect("none"), None);
        assert_eq!(with(&[("KEY", "  ")]).expect("empty counts as none"), None);
        assert_eq!(with(&[("KEY", "a ")]).expect("one"), Some(Secret::new("a")));
        assert_eq!(with(&[("KEY_FILE", &path)]).expect("file"), Some(Secret::new("from-file")));
        let both = with(&[("KEY", "a"), ("KEY_FILE", &path)]).expect_err("ambiguous");
        assert!(both.to_string().contains("both set"), "{both}");
        let missing = with(&[("KEY_FILE", "/does/not/exist")]).expect_err("no file");
        assert!(missing.to_string().contains("/does/not/exist"), "{missing}");
    }

    #[test]
    fn several_secrets_are_split_at_commas() {
        let split = split(&Secret::new("a, b,,c,"));
        assert_eq!(split, [Secret::new("a"), Secret::new("b"), Secret::new("c")]);
    }
}
