//! How far everything was delivered, kept in a file that is replaced whole: after a crash it is
//! the old one or the new one. Without it, or if it cannot be read, Stripe's 30 days come again,
//! which costs reads and loses nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use common::error::{Error, Result};
use common::record::Seconds;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct State {
    /// Where the records went: another destination has not got them.
    pub to: String,
    /// Every event created before this was delivered; 0 is everything that Stripe keeps.
    pub position: Seconds,
    /// The broker that has them, and where its topic ended then, by partition.
    #[serde(default)]
    pub cluster: Option<String>,
    #[serde(default)]
    pub ends: BTreeMap<i32, i64>,
}

/// The place a state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The state as it was left, if it can be read and is of this destination. A file that may
    /// not be read at all is `Fatal`: it could not be written either.
    pub fn load(&self, to: &str) -> Result<Option<State>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::fatal(self.operation("read"), error)),
        };
        let state: State = match serde_json::from_slice(&text) {
            Ok(state) => state,
            Err(error) => {
                log::warn!("{}: {error}; starting anew", self.operation("read"));
                return Ok(None);
            }
        };
        if state.to != to {
            log::warn!("{} is of {}, not of {to}; starting anew", self.path.display(), state.to);
            return Ok(None);
        }
        Ok(Some(state))
    }

    /// Replaces the file. It is on disk when this returns.
    pub fn save(&self, state: &State) -> Result<()> {
        let failed = |error: std::io::Error| Error::retry(self.operation("write"), error);
        let mut text = serde_json::to_vec(state)
            .map_err(|error| Error::fatal(self.operation("write"), error))?;
        text.push(b'\n');
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &self.path).map_err(failed)?;
        // The folder holds the name: without this the old one may be back after a power cut.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} the state in {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            to: "kafka:stripe_events".into(),
            position: 7,
            cluster: Some("abc".into()),
            ends: BTreeMap::from([(0, 5), (3, 9)]),
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path().join("tail.json"));
        assert_eq!(file.load("-").expect("none yet"), None);
        for position in [7, 8] {
            let state = State { position, ..state() };
            file.save(&state).expect("saved");
            assert_eq!(file.load("kafka:stripe_events").expect("read"), Some(state));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no rest is left");
    }

    #[test]
    fn another_destination_or_a_damaged_file_starts_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tail.json");
        let file = StateFile::new(&path);
        file.save(&state()).expect("saved");
        assert_eq!(file.load("kafka:other").expect("read"), None);
        for text in ["", "{", "[]", "{\"to\":\"-\"}"] {
            fs::write(&path, text).expect("written");
            assert_eq!(file.load("-").expect("read"), None, "{text}");
        }
        assert!(StateFile::new(folder.path()).load("-").is_err(), "a folder is no state");
        assert!(StateFile::new("/does/not/exist/tail.json").save(&state()).is_err());
    }
}
