-- no-transaction
-- A new password replaces the other sign-ins of its user.
create index concurrently if not exists sign_ins_user_idx on sign_ins (instance_id, user_id) where replaced_at is null;
