import type { Random } from '../clock.ts'
import type { Put, Query, Range } from '../store/store.ts'
import { pick, randomBelow, seededRandom } from './seeded-random.ts'
import type { StoreTrial } from './store-suite.ts'

/** A record as the plainest code there is would keep it. */
interface Plain {
  key: string
  version: string
  place: string
  score: number
  stamp: string
  head: string
  parts: Record<string, string>
  tags: Record<string, number>
}

const KEYS = ['j/a', 'j/b', 'j/c', 'j/B', 'u/a', 'u/a/b', 'k', 'k/a'] as const
const PLACES = ['r/one', 'r/two', 'd/one', 'l/one', 's/one'] as const
const KEPT_PLACES = ['k/one', 'k/two'] as const
const ALL_PLACES = [...PLACES, ...KEPT_PLACES]
const TAGS = ['t', 'u'] as const
const PARTS = ['data', 'result'] as const
const PREFIXES = ['', 'j/', 'u/', 'u/a/', 'x'] as const
/** An hour more or less decides where a store that lays out the future apart keeps a record. */
const SCORES = [-3, 0, 1, 2, 1_000, 4_000_000_000_000, 9_999_999_999_999, Number.MAX_SAFE_INTEGER]

/**
 * Puts at random into the store and into a plain map, and compares everything one can read. With
 * `takes`, takes from both as well: `take` is a `read` and a `commit` in one.
 */
export async function randomModelRun(
  trial: StoreTrial,
  { rounds, takes = false }: { rounds: number; takes?: boolean },
): Promise<void> {
  const random = seededRandom(trial.seed)
  const model = new Map<string, Plain>()
  for (let round = 0; round < rounds / trial.scale; round++) {
    await commitSome(trial, model, random)
    if (takes) await takeSome(trial, model, random, `call ${round}`)
    const query = randomQuery(random)
    const answer = await trial.read(query)
    const { got, ranges, counts } = modelRead(model, query)
    const where = `round ${round}, ${JSON.stringify(query)}`
    trial.assert.deepEqual(
      answer.got.map((record) => record && plain(record)),
      got,
      where,
    )
    trial.assert.deepEqual(
      answer.ranges.map((rows) => rows.map((row) => plain({ ...row, parts: {} }))),
      ranges,
      where,
    )
    trial.assert.deepEqual(answer.counts, counts, where)
  }
}

async function commitSome(
  { assert, store }: StoreTrial,
  model: Map<string, Plain>,
  random: Random,
): Promise<void> {
  const keys = KEYS.filter(() => random() < 0.4)
  // Where nothing compares, a wrong expectation is not to be relied upon either way.
  const checked = store.guarantee !== 'eventual'
  const unitPuts = Math.min(store.limits.unitPuts, 3)
  const units: Put[][] = []
  while (keys.length > 0 && units.length < store.limits.batchUnits) {
    units.push(
      keys
        .splice(0, 1 + randomBelow(random, unitPuts))
        .map((key) => randomPut(random, key, model.get(key), checked)),
    )
  }
  const expected = units.map((unit) =>
    unit.every((put) => put.expect === (model.get(put.key)?.version ?? null)),
  )
  const versions = await store.commit(units)
  assert.deepEqual(
    versions.map((version) => version !== null),
    expected,
    JSON.stringify(units),
  )
  units.forEach((unit, i) => {
    const version = versions[i]
    if (version) for (const put of unit) applyPut(model, put, version)
  })
}

async function takeSome(
  { assert, store }: StoreTrial,
  model: Map<string, Plain>,
  random: Random,
  stamp: string,
): Promise<void> {
  const from = (['r/one', 'r/two'] as const).filter(() => random() < 0.7)
  const request = {
    from,
    limit: 1 + randomBelow(random, 4),
    into: 'l/one',
    score: pick(random, SCORES),
    stamp,
    unless: ['k', 'k/a', 'j/none'].filter(() => random() < 0.15),
    parts: PARTS.filter(() => random() < 0.5),
  }
  const stopped = request.unless.some((key) => model.has(key))
  const lists = from.map((place) => ({ place, limit: Infinity }))
  const lines = stopped ? [] : modelRead(model, { ranges: lists }).ranges.flat()
  const keys = lines
    .sort((a, b) => a.score - b.score || (a.key < b.key ? -1 : 1))
    .slice(0, request.limit)
    .map(({ key }) => key)
  const taken = (await store.take?.(request)) ?? []
  for (const { key, version } of taken) {
    const { into: place, score } = request
    applyPut(model, { key, expect: null, place, score, stamp }, version)
  }
  const { got } = modelRead(model, { get: keys, parts: request.parts })
  assert.deepEqual(
    taken.map((record) => plain(record)),
    got,
    JSON.stringify(request),
  )
}

function randomPut(random: Random, key: string, before: Plain | undefined, checked: boolean): Put {
  const wrong = checked && random() < 0.15
  const expect = wrong
    ? before
      ? pick(random, [null, 'no such version'])
      : 'no such version'
    : (before?.version ?? null)
  if (expect !== null && random() < 0.2) return { key, expect, drop: true }
  const maybe = <T>(make: () => T): T | undefined => (random() < 0.5 ? make() : undefined)
  const text = (): string =>
    pick(random, ['', 'x', '"\\', '漢', 'a longer text']) + randomBelow(random, 99)
  const places: readonly string[] = key.startsWith('k/') ? KEPT_PLACES : PLACES
  const fields = {
    head: maybe(text),
    stamp: maybe(text),
    parts: maybe(() => ({ [pick(random, PARTS)]: random() < 0.2 ? null : text() })),
    tags: maybe(() =>
      Object.fromEntries(
        TAGS.filter(() => random() < 0.5).map((tag) => [tag, pick(random, SCORES)]),
      ),
    ),
    place: expect === null ? pick(random, places) : maybe(() => pick(random, places)),
    score: expect === null ? pick(random, SCORES) : maybe(() => pick(random, SCORES)),
  }
  const named = Object.entries(fields).filter(([, value]) => value !== undefined)
  // With nothing named it would be a check, which is another case's business.
  return named.length === 0
    ? { key, expect, stamp: '' }
    : { key, expect, ...Object.fromEntries(named) }
}

function applyPut(model: Map<string, Plain>, put: Put, version: string): void {
  if (put.drop) {
    model.delete(put.key)
    return
  }
  const before = model.get(put.key)
  const parts = { ...before?.parts }
  for (const [name, part] of Object.entries(put.parts ?? {})) {
    if (part === null) delete parts[name]
    else parts[name] = part
  }
  model.set(put.key, {
    key: put.key,
    version,
    place: put.place ?? before?.place ?? '',
    score: put.score ?? before?.score ?? 0,
    stamp: put.stamp ?? '',
    head: put.head ?? before?.head ?? '',
    parts,
    tags: { ...(put.tags ?? before?.tags) },
  })
}

function randomQuery(random: Random): Query {
  return {
    get: KEYS.filter(() => random() < 0.5),
    parts: PARTS.filter(() => random() < 0.5),
    ranges: Array.from({ length: 4 }, () => randomRange(random)),
    counts: ALL_PLACES.filter(() => random() < 0.5),
  }
}

function randomRange(random: Random): Range {
  const list = pick(random, [
    { place: pick(random, ALL_PLACES) },
    { tag: pick(random, TAGS) },
    { prefix: pick(random, PREFIXES) },
  ])
  return {
    ...list,
    limit: 1 + randomBelow(random, 6),
    ...(random() < 0.5 && { reverse: true }),
    ...(random() < 0.3 && { from: pick(random, SCORES) }),
    ...(random() < 0.3 && { to: pick(random, SCORES) }),
    ...(random() < 0.3 && { after: [pick(random, SCORES), pick(random, KEYS)] as const }),
  }
}

function modelRead(
  model: Map<string, Plain>,
  { get = [], parts = [], ranges = [], counts = [] }: Query,
): {
  got: (Plain | null)[]
  ranges: Plain[][]
  counts: number[]
} {
  const all = [...model.values()]
  return {
    got: get.map((key) => {
      const record = model.get(key)
      if (record === undefined) return null
      return {
        ...record,
        parts: Object.fromEntries(
          Object.entries(record.parts).filter(([name]) => parts.includes(name as never)),
        ),
      }
    }),
    ranges: ranges.map((range) =>
      modelRange(all, range).map((record) => ({ ...record, parts: {} })),
    ),
    counts: counts.map((place) => all.filter((record) => record.place === place).length),
  }
}

function modelRange(
  all: readonly Plain[],
  { place, tag, prefix, from, to, after, limit, reverse }: Range,
): Plain[] {
  const entry = (record: Plain): [number, string] => [
    prefix !== undefined ? 0 : tag !== undefined ? (record.tags[tag] as number) : record.score,
    record.key,
  ]
  const compare = (a: readonly [number, string], b: readonly [number, string]): number =>
    a[0] - b[0] || (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)
  const direction = reverse ? -1 : 1
  return all
    .filter((record) => {
      if (prefix !== undefined) return record.key.startsWith(prefix)
      if (tag !== undefined ? record.tags[tag] === undefined : record.place !== place) return false
      const [score] = entry(record)
      return score >= (from ?? -Infinity) && score <= (to ?? Infinity)
    })
    .filter((record) => {
      if (after === undefined) return true
      const cursor = [prefix === undefined ? after[0] : 0, after[1]] as const
      return compare(entry(record), cursor) * direction > 0
    })
    .sort((a, b) => compare(entry(a), entry(b)) * direction)
    .slice(0, limit)
}

function plain(record: Partial<Plain> & { readonly key: string }): unknown {
  const { key, version, place, score, stamp, head, parts = {}, tags = {} } = record
  return { key, version, place, score, stamp, head, parts: { ...parts }, tags: { ...tags } }
}
