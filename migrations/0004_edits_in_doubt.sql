-- What people edited at Stripe while nobody could say which is newer:
-- JSON, [{"field": …, "value": …, "stamp": …, "at": …}].
ALTER TABLE sync ADD COLUMN put_aside TEXT;
