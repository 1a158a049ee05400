-- An account that somebody claims at a provider while signing in waits with that attempt until its address is proven.
-- Before, it was a row among the accounts of the address's owner, where strangers could pile them up. Conventions as in
-- 0001.

alter table sign_ins add column pending_account jsonb;
comment on column sign_ins.pending_account is
    'The account claimed at a provider, until its address is proven; its tokens stay sealed in the trip that it names.';
comment on column sign_ins.pending_external_account_id is 'Of the release before; not written any more.';

-- What waits now goes on waiting: its tokens lie with the trip already, so nothing that is sealed has to move.
update sign_ins s set pending_account = jsonb_build_object(
    'provider', e.provider, 'provider_user_id', e.provider_user_id, 'authorization_id', f.id)
from external_accounts e, social_flows f
where s.pending_external_account_id is not null and s.status = 'needs_first_factor' and s.replaced_at is null
    and e.instance_id = s.instance_id and e.id = s.pending_external_account_id and e.status = 'pending'
    and f.instance_id = s.instance_id and f.target_id = s.id and f.tokens_sealed is not null
    and f.provider = e.provider and f.provider_user_id = e.provider_user_id
    and (f.transport = 'cookie' or f.rotating_token_nonce_used_at is not null);
update sign_ins set pending_external_account_id = null where pending_external_account_id is not null;
-- What a signed-in user is connecting knows no identity before it is proven; every other pending account is a claim.
delete from external_accounts where status = 'pending' and provider_user_id is not null;

create or replace view sign_in_trees as
select s.instance_id, s.id, s.client_id, s.replaced_at, s.abandon_at, s.completed_at,
    json_build_object(
        'id', s.id, 'status', s.status, 'identifier', s.identifier, 'user_id', s.user_id, 'flow_id', s.flow_id,
        'identification_id', s.identification_id, 'pending_external_account_id', s.pending_external_account_id,
        'has_pending_account', s.pending_account is not null,
        'sign_up_if_missing', s.sign_up_if_missing,
        'user', case when s.status in ('needs_first_factor', 'needs_second_factor', 'needs_new_password')
            then (select u.tree from user_trees u where u.instance_id = s.instance_id and u.id = s.user_id) end,
        'has_password', s.status = 'needs_first_factor' and exists (select from user_passwords p
            where p.instance_id = s.instance_id and p.user_id = s.user_id),
        'providers', coalesce(case when s.status = 'needs_first_factor'
            then (select json_agg(p.provider order by p.provider) from provider_configs p
                where p.instance_id = s.instance_id and p.enabled and p.authenticatable) end, '[]'::json),
        'created_session_id', s.created_session_id, 'abandon_at', s.abandon_at,
        'first_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'first_factor'),
        'second_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'second_factor')) as tree
from sign_ins s;
