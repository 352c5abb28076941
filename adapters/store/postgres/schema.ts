/**
 * The tables of a store in PostgreSQL, and the function that commits: a commit is one call of it, so
 * it is one round trip and one transaction. Keys and places are ordered by their bytes.
 */
export const SCHEMA = `
create table if not exists {records} (
  key text collate "C" primary key, version text not null, place text collate "C" not null,
  score bigint not null, stamp text not null, head text not null, tags text not null
);
create index if not exists {by_place} on {records} (place, score, key);
create table if not exists {parts} (
  key text collate "C", name text collate "C", value text not null, primary key (key, name)
);
create table if not exists {tags} (
  tag text collate "C", score bigint, key text collate "C", primary key (tag, score, key)
);
create index if not exists {tags_by_key} on {tags} (key);
do $$ begin
  if to_regtype('{put}') is null then
    create type {put} as (
      unit int, key text collate "C", expect text, kind text, version text, place text,
      score bigint, stamp text, head text, tags json, parts json, without text[]
    );
  end if;
end $$;
`

/**
 * The plan of a function is kept, and may have been made while the tables were empty; and what the
 * statistics say of a queue's table is soon untrue. So no plan is left to them: each row is found by
 * an index, and the first of a place by the order of one. Joins with a table are written so that there
 * is one way to do them: a lateral select with a limit, a list of keys, or an upsert.
 */
const BY_INDEX = `set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off`

/**
 * Answers the numbers of the units that failed. Under READ COMMITTED each statement of it sees what
 * was committed before that statement began.
 *
 * 1. Records that must exist are locked in the order of their keys, so that no two commits wait for
 *    each other. Then a unit fails when a version is not as expected.
 * 2. What must not exist is inserted, in the same order: of two rivals one waits here for the other,
 *    and inserts nothing. That holds for mere checks too, or two units that each write what the other
 *    checks to be absent would both be committed. What only a check has inserted goes at once, and so
 *    does what a unit has inserted that fails here.
 * 3. The rest cannot fail any more.
 */
export const COMMIT: string = `
create or replace function {commit_2}(document json, channel text, wakes text[])
returns int[] language plpgsql ${BY_INDEX} as $$
declare
  puts {put}[];
  held text[];
  keys text[];
  failed int[];
  lost int[] := '{}';
begin
  puts := array(select p from json_populate_recordset(null::{put}, document) p order by p.key);
  held := array(select p.key from unnest(puts) p where p.expect is not null);
  perform 1 from {records} where key = any(held) order by key for update;
  failed := array(
    select p.unit from unnest(puts) p left join lateral (
      select version from {records} where key = p.key limit 1
    ) r on true where p.expect is not null and r.version is distinct from p.expect
  );
  with inserted as (
    insert into {records} (key, version, place, score, stamp, head, tags)
    select p.key, p.version, coalesce(p.place, ''), coalesce(p.score, 0), coalesce(p.stamp, ''),
      coalesce(p.head, ''), coalesce(p.tags, '{}')
    from unnest(puts) p where p.expect is null and p.unit <> all(failed) order by p.key
    on conflict do nothing returning key
  )
  select array(select i.key from inserted i) into keys;
  if cardinality(keys) + cardinality(held) < cardinality(puts) then
    lost := array(
      select p.unit from unnest(puts) p
      where p.expect is null and p.unit <> all(failed) and p.key <> all(keys)
    );
  end if;
  if cardinality(lost) > 0 or exists (
    select 1 from unnest(puts) p where p.expect is null and p.kind <> 'write'
  ) then
    keys := array(select p.key from unnest(puts) p where p.expect is null);
    delete from {records} r using unnest(puts) p where r.key = any(keys) and r.key = p.key
      and r.version = p.version and (p.kind <> 'write' or p.unit = any(lost));
    failed := failed || lost;
  end if;
  if cardinality(failed) > 0 then
    puts := array(select p from unnest(puts) p where p.unit <> all(failed) order by p.key);
  end if;
  if cardinality(held) > 0 then
    insert into {records} (key, version, place, score, stamp, head, tags)
    select p.key, p.version, coalesce(p.place, r.place), coalesce(p.score, r.score),
      coalesce(p.stamp, ''), coalesce(p.head, r.head), coalesce(p.tags::text, r.tags)
    from unnest(puts) p cross join lateral (select * from {records} where key = p.key limit 1) r
    where p.kind = 'write' and p.expect is not null
    on conflict (key) do update set version = excluded.version, place = excluded.place,
      score = excluded.score, stamp = excluded.stamp, head = excluded.head, tags = excluded.tags;
    keys := array(
      select p.key from unnest(puts) p
      where p.expect is not null and (p.kind = 'drop' or p.tags is not null)
    );
    if cardinality(keys) > 0 then delete from {tags} where key = any(keys); end if;
    keys := array(select p.key from unnest(puts) p where p.kind = 'drop');
    if cardinality(keys) > 0 then
      delete from {parts} where key = any(keys);
      delete from {records} where key = any(keys);
    end if;
    keys := array(select p.key from unnest(puts) p where p.kind = 'write' and p.without <> '{}');
    if cardinality(keys) > 0 then
      delete from {parts} t using unnest(puts) p
      where t.key = any(keys) and t.key = p.key and t.name = any(p.without);
    end if;
  end if;
  insert into {tags} (tag, score, key) select t.key, t.value::bigint, p.key
    from unnest(puts) p cross join json_each_text(p.tags) t where p.kind = 'write';
  insert into {parts} (key, name, value) select p.key, n.key, n.value
    from unnest(puts) p cross join json_each_text(p.parts) n where p.kind = 'write'
    on conflict (key, name) do update set value = excluded.value;
  if exists (select 1 from unnest(puts) p where p.kind <> 'check') then
    perform pg_notify(channel, w) from unnest(wakes) w;
  end if;
  return failed;
end $$;
`

/**
 * from, limit, into, score, stamp, version, unless, names of parts. Takes the first records of the
 * places that no other transaction holds.
 */
export const TAKE: string = `
create or replace function {take_1}(text[], bigint, text, bigint, text, text, text[], text[])
returns table (
  key text, version text, place text, score bigint, stamp text, head text, tags text, parts json
) language plpgsql ${BY_INDEX} as $$
#variable_conflict use_column
begin
  return query with firsts as materialized (
    select f.key, f.score from unnest($1) s(place) cross join lateral (
      select r.key, r.score from {records} r where r.place = s.place collate "C"
      order by r.score, r.key limit $2 for update skip locked
    ) f
    where not exists (select 1 from {records} u where u.key = any($7))
    order by f.score, f.key limit $2
  ), taken as (
    update {records} r set place = $3, score = $4, stamp = $5, version = $6
    where r.key = any(array(select f.key from firsts f)) returning r.*
  )
  select t.key, t.version, t.place, t.score, t.stamp, t.head, t.tags, (
    select json_object_agg(p.name, p.value) from {parts} p
    where p.key = t.key and p.name = any($8)
  ) from taken t join firsts f on f.key = t.key order by f.score, f.key;
end $$;
`
