//! `.env`, loaded once before the command line is read: flags override the environment, the
//! environment overrides `.env`. Never prints a value of it, since values may be secrets.

use std::path::Path;

use crate::error::{Error, Result};

/// Loads `.env` of the current folder, if there is one. Variables that are set already stay.
pub fn load_dotenv() -> Result<()> {
    load(Path::new(".env"))
}

fn load(path: &Path) -> Result<()> {
    let operation = || format!("read {}", path.display());
    match dotenvy::from_path(path) {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(Error::fatal(operation(), error)),
        // The error's own text holds the line, and the line may hold a secret.
        Err(dotenvy::Error::LineParse(_, at)) => Err(Error::fatal(
            operation(),
            format!("a line cannot be read, at its character {at} (not shown: it may be a secret)"),
        )
        .hint("one NAME=value a line; quote values that hold spaces or #")),
        // Likewise: this one's text would hold the variable's value.
        Err(dotenvy::Error::EnvVar(_)) => Err(Error::fatal(operation(), "a variable is not UTF-8")),
        Err(_) => Err(Error::fatal(operation(), "the file cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_fine_and_a_bad_one_is_refused_without_its_content() {
        assert!(load(Path::new("/does/not/exist/.env")).is_ok());
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "KEY='hidden").expect("written");
        let error = load(file.path()).expect_err("an open quote");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}
