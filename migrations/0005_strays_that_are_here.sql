-- Those that are gone are never forgotten: the ones that are here are counted without them.
CREATE INDEX notes_here ON notes (system) WHERE gone = 0;
