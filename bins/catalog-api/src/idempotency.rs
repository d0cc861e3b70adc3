//! `Idempotency-Key`: a request made twice is done once and answered alike. The answer is written
//! in the transaction of what it answers for, so equal requests at once cannot both be done.

use common::clock;
use common::error::Result;
use common::http::{Answer, Body, Problem, Request, Response};
use common::record::Millis;
use common::store::{Remembered, Tx};
use sha2::{Digest, Sha256};

/// The longest key.
const KEY_CHARS_MAX: usize = 255;

/// Keys are kept this long; then they count as new.
pub const KEPT_MS: Millis = 24 * 60 * 60 * 1000;

const HEADER: &str = "Idempotency-Key";

/// A key, and what it was given for.
pub struct Key {
    key: String,
    fingerprint: Vec<u8>,
}

impl Key {
    /// The request's key, if it has one.
    pub fn of(
        request: &mut Request,
        body_bytes_max: usize,
    ) -> std::result::Result<Option<Self>, Problem> {
        let Some(key) = request.header(HEADER).map(str::to_owned) else { return Ok(None) };
        let printable = |c: char| c.is_ascii_graphic() || c == ' ';
        if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.chars().all(printable) {
            let limit = format!("must be 1 to {KEY_CHARS_MAX} printable ASCII characters");
            return Err(Problem::bad_parameter(HEADER, limit));
        }
        let mut digest = Sha256::new();
        digest.update(format!("{:?} {}\n", request.method, request.segments.join("/")));
        digest.update(request.body(body_bytes_max)?);
        Ok(Some(Self { key, fingerprint: digest.finalize().to_vec() }))
    }

    /// Does the work unless it was done under this key: then its answer is given again. Only
    /// answers that say "done" are remembered: what was refused changed nothing.
    pub fn once(self, tx: &Tx, work: impl FnOnce(&Tx) -> Result<Answer>) -> Result<Answer> {
        let now = clock::now_ms();
        let known = tx.recall(&self.key)?.filter(|known| now - known.created_at < KEPT_MS);
        if let Some(known) = known {
            return Ok(self.again(known));
        }
        let answer = work(tx)?;
        if let Ok(response) = &answer
            && let Body::Bytes(body) = &response.body
        {
            let headers = response.headers.iter();
            let remembered = Remembered {
                fingerprint: self.fingerprint,
                status: response.status,
                headers: headers.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                body: body.clone(),
                created_at: now,
            };
            tx.remember(&self.key, &remembered)?;
        }
        Ok(answer)
    }

    fn again(&self, known: Remembered) -> Answer {
        if known.fingerprint != self.fingerprint {
            let detail = "this Idempotency-Key was used with another body; a new request needs a \
                          new key";
            return Err(Problem {
                errors: vec![common::http::Fault::new(HEADER, "was used with another body")],
                ..Problem::new(422, detail)
            });
        }
        let mut response = Response::bytes(known.status, "application/json", known.body);
        for name in ["Location", "ETag"] {
            let mut headers = known.headers.iter();
            if let Some((_, value)) = headers.find(|(other, _)| other == name) {
                response = response.header(name, value.clone());
            }
        }
        Ok(response.header("Idempotent-Replayed", "true"))
    }
}

#[cfg(test)]
mod tests {
    use common::error::Result;
    use common::store::Store;

    use super::*;

    fn key() -> Key {
        Key { key: "k".to_owned(), fingerprint: vec![1] }
    }

    #[test]
    fn a_key_counts_for_a_day_and_then_as_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(&folder.path().join("db.sqlite3")).expect("opens");
        let mut done = 0;
        let mut ask = |store: &mut Store| {
            let answer = store.write(|tx| {
                key().once(tx, |_| {
                    done += 1;
                    Ok(Ok(Response::json(201, &done)))
                })
            });
            answer.expect("writes").expect("an answer");
            done
        };
        assert_eq!((ask(&mut store), ask(&mut store)), (1, 1));
        let age = |by: Millis| {
            move |tx: &Tx| -> Result<()> {
                let known = tx.recall("k")?.expect("is known");
                let created_at = clock::now_ms() - by;
                tx.remember("k", &Remembered { created_at, ..known })
            }
        };
        store.write(age(KEPT_MS - 60_000)).expect("ages");
        assert_eq!(ask(&mut store), 1);
        store.write(age(KEPT_MS + 1)).expect("ages");
        assert_eq!((ask(&mut store), ask(&mut store)), (2, 2));
    }

    #[test]
    fn what_was_refused_is_not_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(&folder.path().join("db.sqlite3")).expect("opens");
        let refuse = |_: &Tx| Ok(Err(Problem::new(409, "taken")));
        let refused = store.write(|tx| key().once(tx, refuse)).expect("writes");
        assert_eq!(refused.expect_err("a problem").status, 409);
        let answer = store.write(|tx| key().once(tx, |_| Ok(Ok(Response::empty(204)))));
        assert!(answer.expect("writes").is_ok());
    }
}
