-- What lists of users are searched and sorted by. It has a table of its own: each sign-in writes a new version of a user's
-- row into every index of `users`, and these indexes would make that five times as dear.

create table user_listings (
    instance_id text collate "C" not null,
    user_id text collate "C" not null,
    first_name text collate "C",
    last_name text collate "C",
    username text collate "C",
    search_terms text[] not null default '{}',
    constraint user_listings_pkey primary key (instance_id, user_id),
    constraint user_listings_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade
);
create index user_listings_first_name_idx on user_listings (instance_id, first_name, user_id);
create index user_listings_last_name_idx on user_listings (instance_id, last_name, user_id);
create index user_listings_username_idx on user_listings (instance_id, username, user_id);
-- Without a pending list: what a search costs must not depend on how many signed up just before.
create index user_listings_search_idx on user_listings using gin (search_terms) with (fastupdate = off);
comment on table user_listings is
    'Names of a user as lists sort and search them; without terms it waits until they are computed.';

alter table identifications add column search_terms text[] not null default '{}';
comment on column identifications.search_terms is 'What a search finds the address by; empty until it is computed.';

-- Whoever writes names, this release, the one before it or a hand at the database: the listing follows. A writer that
-- computes terms itself has put its row in already.
create function follow_user_listing() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        insert into user_listings (instance_id, user_id, first_name, last_name, username)
        values (new.instance_id, new.id, left(new.first_name, 128), left(new.last_name, 128), new.username_key)
        on conflict (instance_id, user_id) do nothing;
    else
        update user_listings set first_name = left(new.first_name, 128), last_name = left(new.last_name, 128),
            username = new.username_key, search_terms = '{}'
        where instance_id = new.instance_id and user_id = new.id;
    end if;
    return null;
end $$;
create trigger users_listing_insert after insert on users for each row execute function follow_user_listing();
create trigger users_listing_update after update of first_name, last_name, username_key on users for each row
    when ((old.first_name, old.last_name, old.username_key)
        is distinct from (new.first_name, new.last_name, new.username_key))
    execute function follow_user_listing();

-- The name is needed for the index that also serves those who do not know an address's status.
alter index identifications_value_idx rename to identifications_claims_idx;
