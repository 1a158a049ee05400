-- no-transaction
drop index concurrently if exists sign_ins_user_idx;
