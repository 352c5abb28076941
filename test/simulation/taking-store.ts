import type { Put, Store, StoredRecord, Take } from '../../src/store/store.ts'

/** The store with a `take`, made of its `read` and `commit` as the port says. */
export function takingStore(store: Store): Store {
  const taking: Store = {
    name: store.name,
    guarantee: store.guarantee,
    clock: store.clock,
    limits: store.limits,
    read: (query) => store.read(query),
    commit: (units, hint) => store.commit(units, hint),
    take: (request) => take(store, request),
    operations: () => store.operations(),
    close: () => store.close(),
  }
  if (store.subscribe) taking.subscribe = store.subscribe.bind(store)
  return taking
}

async function take(
  store: Store,
  { from, limit, into, score, stamp, unless = [], parts = [] }: Take,
): Promise<StoredRecord[]> {
  const { ranges } = await store.read({ ranges: from.map((place) => ({ place, limit })) })
  const first = ranges
    .flat()
    .sort((a, b) => a.score - b.score || (a.key < b.key ? -1 : 1))
    .slice(0, limit)
  const checks = unless.map((key) => ({ key, expect: null }))
  const units = first.map(({ key, version }): Put[] => [
    { key, expect: version, place: into, score, stamp },
    ...checks,
  ])
  const versions = await store.commit(units)
  const { got } = await store.read({ get: first.map(({ key }) => key), parts })
  // What a rival was quicker to take is left out.
  return got.filter(
    (record, i): record is StoredRecord => record !== null && versions[i] === record.version,
  )
}
