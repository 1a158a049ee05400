-- The statements that write names write their listing too (src/store/users.rs): no logic lives in the database. A server of
-- a state before this one that goes on beside this schema would make users without a listing and leave a filled-in name
-- unlisted; no such state was released. Whoever changes names by hand changes `user_listings` as well.
drop trigger users_listing_update on users;
drop trigger users_listing_insert on users;
drop function follow_user_listing();
comment on table user_listings is
    'Names of a user as lists sort and search them, written with the user; without terms it waits until they are computed.';
