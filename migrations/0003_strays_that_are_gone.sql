-- A stray that was deleted at Stripe stays noted, so that its late events do not count it again.
ALTER TABLE notes ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
