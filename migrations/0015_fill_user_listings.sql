-- no-transaction
-- Users of before. Their search terms are computed by a job; until then a search looks at their names one by one.
insert into user_listings (instance_id, user_id, first_name, last_name, username)
select instance_id, id, left(first_name, 128), left(last_name, 128), username_key from users
on conflict (instance_id, user_id) do nothing;
