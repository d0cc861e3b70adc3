-- The catalog: customers, how each stands with each system, and what is on its way in and out.
-- Times are milliseconds since 1970 by the catalog's clock unless a comment says otherwise.

-- A customer is never removed: a deleted one stays as a tombstone, so no id is used twice and no
-- version starts again. `seq` is the order of creation; lists go by it.
CREATE TABLE customers (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    version      INTEGER NOT NULL CHECK (version > 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    deleted      INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
    name         TEXT,
    email        TEXT,
    phone        TEXT,
    description  TEXT,
    address      TEXT,    -- JSON object of six parts
    metadata     TEXT,    -- JSON object, a text per key
    -- In lower case, for filters and search; SQLite itself folds ASCII only.
    name_folded  TEXT,
    email_folded TEXT
) STRICT;
CREATE INDEX customers_email   ON customers (email_folded) WHERE email_folded IS NOT NULL;
CREATE INDEX customers_updated ON customers (updated_at);

-- Names and e-mails in words of three characters, the row's number being the customer's. It knows no
-- tombstones, and takes in what is stale in steps of its own, since it dislikes small transactions.
CREATE VIRTUAL TABLE search USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);
CREATE TABLE search_stale (customer INTEGER PRIMARY KEY) STRICT;
CREATE TRIGGER search_new AFTER INSERT ON customers BEGIN
    INSERT INTO search_stale (customer) VALUES (new.seq);
END;
CREATE TRIGGER search_old AFTER UPDATE OF name_folded, email_folded, deleted ON customers
WHEN new.name_folded IS NOT old.name_folded OR new.email_folded IS NOT old.email_folded
    OR new.deleted <> old.deleted BEGIN
    -- Not OR IGNORE: the upsert that fires this would overrule it.
    INSERT INTO search_stale (customer) SELECT new.seq
    WHERE NOT EXISTS (SELECT 1 FROM search_stale WHERE customer = new.seq);
END;

-- How one customer stands with one system. The maps per field are JSON, so that a write touches
-- one row however many fields it changes.
CREATE TABLE sync (
    customer        INTEGER NOT NULL REFERENCES customers (seq),
    system          TEXT    NOT NULL,
    external_id     TEXT,
    gone            INTEGER NOT NULL CHECK (gone IN (0, 1)),
    first           TEXT,             -- JSON: the create's body
    first_at        INTEGER,
    shadow          TEXT    NOT NULL, -- JSON: their fields as last seen
    seen            INTEGER NOT NULL,
    remote_at       INTEGER NOT NULL, -- seconds, by their clock
    observed        INTEGER NOT NULL,
    acked           INTEGER NOT NULL,
    deleted_version INTEGER,
    delete_ids      TEXT,             -- JSON array
    announced_at    INTEGER NOT NULL,
    announced_times INTEGER NOT NULL,
    error           TEXT,
    doubt           INTEGER,          -- since when; NULL: none
    own             TEXT,             -- JSON: {field: version}
    refused         TEXT,             -- JSON: {field: {"version": …, "why": …}}
    -- What follows from the columns above, for lists and for the repeat.
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'synced', 'failed')),
    repeat_at       INTEGER,          -- NULL: nothing is due
    PRIMARY KEY (customer, system)
) STRICT, WITHOUT ROWID;
-- Two customers never share one of theirs.
CREATE UNIQUE INDEX sync_link ON sync (system, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX sync_state       ON sync (system, state, customer);
CREATE INDEX sync_due         ON sync (system, repeat_at) WHERE repeat_at IS NOT NULL;
CREATE INDEX sync_doubt       ON sync (customer) WHERE doubt IS NOT NULL;

-- Both values of a field that two people edited without knowing of each other.
CREATE TABLE conflicts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    customer     INTEGER NOT NULL REFERENCES customers (seq),
    system       TEXT    NOT NULL,
    field        TEXT    NOT NULL,
    ours         TEXT,             -- JSON
    ours_version INTEGER NOT NULL,
    ours_at      INTEGER,
    theirs       TEXT,             -- JSON
    theirs_at    INTEGER NOT NULL, -- seconds, by their clock
    noted_at     INTEGER NOT NULL,
    settled_at   INTEGER
) STRICT;
CREATE INDEX conflicts_customer ON conflicts (customer);
CREATE INDEX conflicts_open     ON conflicts (id) WHERE settled_at IS NULL;

-- Who made which version, and which fields it changed.
CREATE TABLE history (
    customer INTEGER NOT NULL REFERENCES customers (seq),
    version  INTEGER NOT NULL,
    origin   TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    changed  TEXT    NOT NULL,     -- JSON array of fields
    event    TEXT    NOT NULL,
    PRIMARY KEY (customer, version)
) STRICT, WITHOUT ROWID;

-- Changes to publish, written with the change. A number is never used twice: the relay may still
-- have the old one in hand.
CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    customer TEXT    NOT NULL,
    event    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    line     BLOB    NOT NULL
) STRICT;

-- Events already applied, written with their effects.
CREATE TABLE inbox (
    event TEXT    NOT NULL PRIMARY KEY,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_at ON inbox (at);

-- Answers of the API by Idempotency-Key.
CREATE TABLE answers (
    key         TEXT    NOT NULL PRIMARY KEY,
    fingerprint BLOB    NOT NULL,  -- of method, path and body
    status      INTEGER NOT NULL,
    headers     TEXT    NOT NULL,  -- JSON: [[name, value], …]
    body        BLOB    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_created ON answers (created_at);

-- Their customers that carry our stamp and are linked to nobody.
CREATE TABLE notes (
    system      TEXT    NOT NULL,
    external_id TEXT    NOT NULL,
    catalog_id  TEXT,
    why         TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (system, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How many there are of what is too many to count on every look at the metrics.
CREATE TABLE counts (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counts (name, value)
VALUES ('customers', 0), ('pending', 0), ('synced', 0), ('failed', 0), ('outbox', 0);

CREATE TRIGGER customers_born AFTER INSERT ON customers WHEN new.deleted = 0 BEGIN
    UPDATE counts SET value = value + 1 WHERE name = 'customers';
END;
CREATE TRIGGER customers_buried AFTER UPDATE OF deleted ON customers
WHEN new.deleted <> old.deleted BEGIN
    UPDATE counts SET value = value + old.deleted - new.deleted WHERE name = 'customers';
END;
CREATE TRIGGER sync_made AFTER INSERT ON sync BEGIN
    UPDATE counts SET value = value + 1 WHERE name = new.state;
END;
CREATE TRIGGER sync_moved AFTER UPDATE OF state ON sync WHEN new.state <> old.state BEGIN
    UPDATE counts SET value = value - 1 WHERE name = old.state;
    UPDATE counts SET value = value + 1 WHERE name = new.state;
END;
CREATE TRIGGER outbox_filled AFTER INSERT ON outbox BEGIN
    UPDATE counts SET value = value + 1 WHERE name = 'outbox';
END;
CREATE TRIGGER outbox_emptied AFTER DELETE ON outbox BEGIN
    UPDATE counts SET value = value - 1 WHERE name = 'outbox';
END;
