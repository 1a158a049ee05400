-- no-transaction
drop index concurrently if exists identifications_claims_idx;
