/**
 * The tables of a store in SQLite's dialect, each statement apart. A part `without rowid` is written
 * as one row, not two, which counts where rows are billed; with one, long parts lie outside the index.
 */
export function tables(parts: '' | 'without rowid'): string[] {
  return [
    `create table if not exists {records} (
      key text primary key, version text not null, place text not null, score integer not null,
      stamp text not null, head text not null, tags text not null
    ) without rowid`,
    'create index if not exists {by_place} on {records} (place, score, key)',
    `create table if not exists {parts} (
      key text not null, name text not null, value text not null, primary key (key, name)
    ) ${parts}`,
    `create table if not exists {tags} (
      tag text not null, score integer not null, key text not null, primary key (tag, score, key)
    ) without rowid`,
    'create index if not exists {tags_by_key} on {tags} (key)',
  ]
}
