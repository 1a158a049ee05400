-- no-transaction
-- A ban and a new password spend the codes of a user. Without a predicate, so that redeeming a code stays one page's work.
create index concurrently if not exists oauth_codes_user_idx on oauth_codes (instance_id, user_id);
