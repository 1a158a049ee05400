-- no-transaction
-- A new password replaces the other sign-ins of its user. The predicate keeps reads of a client's sign-in from it: without
-- statistics a planner took the index of before for them, and read all sign-ins of the instance.
create index concurrently if not exists sign_ins_user_id_idx on sign_ins (instance_id, user_id)
    where replaced_at is null and user_id is not null;
