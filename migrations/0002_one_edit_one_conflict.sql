-- Which version of ours the person had before them: one edit of theirs is one conflict, however
-- many edits of ours it lost to. Of older conflicts nobody knows: -1 is no version.
ALTER TABLE conflicts ADD COLUMN theirs_stamp INTEGER NOT NULL DEFAULT -1;
