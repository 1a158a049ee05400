-- id_tokens get a signing key of their own: with the session tokens' key, every OAuth client that asks for `openid` held a
-- token that an app's backend takes for a session token. Conventions as in 0001.
--
-- Only the server can make and seal keys, so it gives every instance that has none its id_token key when it starts. The
-- default is for the previous release, which knows one purpose; it goes on signing with the newest key, which an id_token
-- key of an instance that was there before never is.
alter table signing_keys
    add column purpose text not null default 'session',
    add constraint signing_keys_purpose_check check (purpose in ('session', 'id_token')),
    drop constraint signing_keys_active_from_key,
    add constraint signing_keys_active_from_key unique (instance_id, purpose, active_from);
comment on table signing_keys is 'An RSA key of an instance; of one purpose''s keys the newest active_from in the past is active.';
