import type { Put, Range, Store, StoredRecord } from '../store/store.ts'
import { HEAD_BYTES_MAX } from '../store/store.ts'
import { randomModelRun } from './store-model.ts'
import type { StoreCase, StoreTrial } from './store-suite.ts'

const PLACE = 'r/one'

function created(key: string, more: Partial<Put> = {}): Put {
  return { key, expect: null, head: `head of ${key}`, place: PLACE, score: 0, ...more }
}

/** Commits one unit that must succeed, and answers its version. */
async function put(store: Store, ...unit: Put[]): Promise<string> {
  const [version] = await store.commit([unit])
  if (version === null || version === undefined) {
    throw new Error(`A commit of ${JSON.stringify(unit.map(({ key }) => key))} was refused`)
  }
  return version
}

async function keysOf(trial: StoreTrial, range: Range): Promise<string[]> {
  const { ranges } = await trial.read({ ranges: [range] })
  return (ranges[0] ?? []).map(({ key }) => key)
}

async function get(trial: StoreTrial, key: string, parts?: string[]): Promise<StoredRecord | null> {
  const { got } = await trial.read({ get: [key], ...(parts && { parts }) })
  return got[0] ?? null
}

const nullTo = (versions: readonly (string | null)[]): number =>
  versions.filter((version) => version !== null).length

const records: StoreCase[] = [
  {
    name: 'a record comes back as it was put, and an absent key as null',
    async run(trial) {
      const { assert, store } = trial
      const version = await put(store, created('a', { score: 7, stamp: 'me', tags: { t: 3 } }))
      const { got } = await trial.read({ get: ['a', 'b'] })
      const [record, absent] = got
      assert.equal(absent, null)
      const { key, place, score, stamp, head, tags } = record as StoredRecord
      assert.deepEqual(
        { key, version: record?.version, place, score, stamp, head, tags },
        {
          key: 'a',
          version,
          place: PLACE,
          score: 7,
          stamp: 'me',
          head: 'head of a',
          tags: { t: 3 },
        },
      )
    },
  },
  {
    name: 'a put keeps what it does not name and clears the stamp',
    async run(trial) {
      const { assert, store } = trial
      const first = await put(
        store,
        created('a', { score: 5, stamp: 'me', parts: { data: 'd' }, tags: { t: 1 } }),
      )
      const second = await put(store, { key: 'a', expect: first, place: 'r/two' })
      const record = await get(trial, 'a', ['data'])
      assert.equal(record?.version, second)
      assert.ok(first !== second, 'a write gives a new version')
      assert.deepEqual(
        [record?.place, record?.score, record?.stamp, record?.head, record?.parts, record?.tags],
        ['r/two', 5, '', 'head of a', { data: 'd' }, { t: 1 }],
      )
    },
  },
  {
    name: 'parts are written by name, removed by null, and read only when named',
    async run(trial) {
      const { assert, store } = trial
      const first = await put(store, created('a', { parts: { data: '1', log: '2' } }))
      await put(store, { key: 'a', expect: first, parts: { result: '3', log: null } })
      assert.deepEqual((await get(trial, 'a', ['data', 'result', 'log']))?.parts, {
        data: '1',
        result: '3',
      })
      assert.deepEqual((await get(trial, 'a', ['result']))?.parts, { result: '3' })
      assert.deepEqual((await get(trial, 'a'))?.parts ?? {}, {})
    },
  },
  {
    name: 'a drop takes the record out of every list, with its parts',
    async run(trial) {
      const { assert, store } = trial
      const version = await put(store, created('a', { parts: { data: '1' }, tags: { t: 1 } }))
      await put(store, { key: 'a', expect: version, drop: true })
      assert.equal(await get(trial, 'a'), null)
      assert.deepEqual(await keysOf(trial, { place: PLACE, limit: 9 }), [])
      assert.deepEqual(await keysOf(trial, { tag: 't', limit: 9 }), [])
      assert.deepEqual(await keysOf(trial, { prefix: 'a', limit: 9 }), [])
      await put(store, created('a'))
      assert.deepEqual((await get(trial, 'a', ['data']))?.parts ?? {}, {})
    },
  },
  {
    name: 'text of every kind survives in heads, stamps and parts',
    async run(trial) {
      const { assert, store } = trial
      const texts = [
        '',
        '123',
        'true',
        'null',
        '{"a":1}',
        '"',
        '\\',
        '\u0001\u001f',
        'é漢😀',
        '__proto__',
        ' x ',
        'a\r\nb',
        '\u2028',
      ]
      for (const [i, text] of texts.entries()) {
        await put(store, created(`k${i}`, { head: text, stamp: text, parts: { data: text } }))
      }
      const { got } = await trial.read({ get: texts.map((_, i) => `k${i}`), parts: ['data'] })
      assert.deepEqual(
        got.map((record) => [record?.head, record?.stamp, record?.parts?.['data']]),
        texts.map((text) => [text, text, text]),
      )
    },
  },
  {
    name: 'keys that differ only in case or punctuation are different records',
    async run(trial) {
      const { assert, store } = trial
      const keys = [
        'a/b',
        'a:b',
        'a\\b',
        'a',
        'a/',
        'a/b/c',
        'a?x=1',
        'a?x=2',
        'a%2Fb',
        'a$',
        'A',
        'a.b',
        'a..b',
        './a',
        '../a',
        'a//b',
        '__proto__',
        'constructor',
        'a*',
        'a_',
        'a"',
        "a'b",
        'a#b',
        'a~',
      ]
      for (const key of keys) await put(store, created(key))
      const { got } = await trial.read({ get: keys })
      assert.deepEqual(
        got.map((record) => record?.head),
        keys.map((key) => `head of ${key}`),
      )
      assert.deepEqual(await keysOf(trial, { place: PLACE, limit: 99 }), [...keys].sort())
    },
  },
  {
    name: 'a record survives a restart, with its parts and in its lists',
    needs: { reopen: true },
    async run(trial) {
      const { assert, store } = trial
      const gone = await put(store, created('gone', { parts: { data: 'x' } }))
      await put(store, { key: 'gone', expect: gone, drop: true })
      const first = await put(
        store,
        created('a', { score: 3, parts: { data: 'd' }, tags: { t: 9 } }),
      )
      const version = await put(store, {
        key: 'a',
        expect: first,
        score: 4,
        stamp: 'me',
        parts: { result: 'r' },
      })
      const again = await trial.reopen()
      const { got, ranges, counts } = await trial.read(
        {
          get: ['a', 'gone'],
          parts: ['data', 'result'],
          ranges: [{ tag: 't', limit: 9 }],
          counts: [PLACE],
        },
        again,
      )
      assert.equal(got[1], null)
      const [record] = got
      assert.deepEqual(
        [record?.version, record?.score, record?.stamp, record?.parts],
        [version, 4, 'me', { data: 'd', result: 'r' }],
      )
      assert.deepEqual([ranges[0]?.map(({ key }) => key), counts], [['a'], [1]])
    },
  },
]

const lists: StoreCase[] = [
  {
    name: 'a place is ordered by (score, key), and scores stay exact',
    async run(trial) {
      const { assert, store } = trial
      const max = Number.MAX_SAFE_INTEGER
      const scores: [string, number][] = [
        ['z', -max],
        ['c', -5],
        ['b', -0],
        ['a', 0],
        ['B', 0],
        ['d', 1],
        ['y', max - 1],
        ['x', max],
      ]
      for (const [key, score] of scores) await put(store, created(key, { score }))
      const { ranges } = await trial.read({ ranges: [{ place: PLACE, limit: 99 }] })
      assert.deepEqual(
        // A score of −0 is 0, and nobody's order depends on it.
        ranges[0]?.map(({ key, score }) => [key, score + 0]),
        [
          ['z', -max],
          ['c', -5],
          ['B', 0],
          ['a', 0],
          ['b', 0],
          ['d', 1],
          ['y', max - 1],
          ['x', max],
        ],
      )
      assert.deepEqual(await keysOf(trial, { place: PLACE, limit: 3, reverse: true }), [
        'x',
        'y',
        'd',
      ])
      assert.deepEqual(await keysOf(trial, { place: PLACE, from: 0, to: 1, limit: 99 }), [
        'B',
        'a',
        'b',
        'd',
      ])
      assert.deepEqual(
        await keysOf(trial, { place: PLACE, from: 0, to: 0, limit: 2, reverse: true }),
        ['b', 'a'],
      )
      assert.deepEqual(await keysOf(trial, { place: PLACE, from: 2, to: 1, limit: 9 }), [])
    },
  },
  {
    name: 'a cursor skips nothing and repeats nothing while its own record goes',
    async run(trial) {
      const { assert, store } = trial
      const names = Array.from({ length: 30 }, (_, i) => `k${String(i).padStart(2, '0')}`)
      const versions = new Map<string, string>()
      for (const [i, key] of names.entries())
        versions.set(key, await put(store, created(key, { score: i >> 2 })))
      for (const reverse of [false, true]) {
        const seen: string[] = []
        const left = [...versions.keys()]
        let after: Range['after']
        for (;;) {
          const { ranges } = await trial.read({
            ranges: [{ place: PLACE, limit: 4, reverse, ...(after && { after }) }],
          })
          const last = ranges[0]?.at(-1)
          if (last === undefined) break
          seen.push(...(ranges[0] ?? []).map(({ key }) => key))
          after = [last.score, last.key]
          await put(store, { key: last.key, expect: versions.get(last.key) as string, drop: true })
          versions.delete(last.key)
        }
        assert.deepEqual(seen, reverse ? left.reverse() : left)
      }
    },
  },
  {
    name: 'a prefix lists in key order, whatever the scores',
    async run(trial) {
      const { assert, store } = trial
      for (const [i, key] of ['j/c', 'j/a', 'l/a', 'j/b', 'i/z', 'j'].entries()) {
        await put(store, created(key, { score: -i, place: `${i % 2 ? 'r' : 's'}/${i}` }))
      }
      assert.deepEqual(await keysOf(trial, { prefix: 'j/', limit: 9 }), ['j/a', 'j/b', 'j/c'])
      assert.deepEqual(await keysOf(trial, { prefix: 'j/', limit: 2, reverse: true }), [
        'j/c',
        'j/b',
      ])
      assert.deepEqual(await keysOf(trial, { prefix: 'j/', limit: 9, after: [0, 'j/a'] }), [
        'j/b',
        'j/c',
      ])
      assert.deepEqual(
        await keysOf(trial, { prefix: 'j/', limit: 9, after: [0, 'j/b'], reverse: true }),
        ['j/a'],
      )
      assert.deepEqual(await keysOf(trial, { prefix: 'nothing', limit: 9 }), [])
    },
  },
  {
    name: 'tags are further lists with scores of their own, and a put replaces them all',
    async run(trial) {
      const { assert, store } = trial
      const a = await put(store, created('a', { tags: { x: 2, y: 1 } }))
      await put(store, created('b', { tags: { x: 1 } }))
      assert.deepEqual(await keysOf(trial, { tag: 'x', limit: 9 }), ['b', 'a'])
      const again = await put(store, { key: 'a', expect: a, tags: { x: 0 } })
      assert.deepEqual(await keysOf(trial, { tag: 'x', limit: 9 }), ['a', 'b'])
      assert.deepEqual(await keysOf(trial, { tag: 'y', limit: 9 }), [])
      assert.deepEqual(await keysOf(trial, { tag: 'x', from: 1, limit: 9 }), ['b'])
      await put(store, { key: 'a', expect: again, tags: {} })
      assert.deepEqual(await keysOf(trial, { tag: 'x', limit: 9 }), ['b'])
    },
  },
  {
    name: 'counts agree with the places, class by class',
    async run(trial) {
      const { assert, store } = trial
      const places = ['r/a', 'd/a', 'l/a', 's/a']
      for (const [i, place] of places.entries()) {
        for (let n = 0; n <= i; n++) await put(store, created(`${i}.${n}`, { place, score: n }))
      }
      const { counts } = await trial.read({ counts: [...places, 'r/none'] })
      assert.deepEqual(counts, [1, 2, 3, 4, 0])
    },
  },
  {
    name: 'a record moves between classes of places and is only in the last',
    async run(trial) {
      const { assert, store } = trial
      let version = await put(store, created('a', { place: 'r/q', parts: { data: 'd' } }))
      for (const place of ['l/q', 'd/q', 'l/q', 'r/q', 'd/q', 'l/q', 's/q', 'r/q']) {
        version = await put(store, { key: 'a', expect: version, place, score: 9_000_000_000_000 })
        const all = ['r/q', 'd/q', 'l/q', 's/q']
        const { got, ranges } = await trial.read({
          get: ['a'],
          parts: ['data'],
          ranges: all.map((at) => ({ place: at, limit: 9 })),
        })
        assert.deepEqual(
          all.filter((_, i) => ranges[i]?.length),
          [place],
        )
        assert.deepEqual([got[0]?.place, got[0]?.parts], [place, { data: 'd' }])
      }
    },
  },
  {
    name: 'a record that moves within its place stands where its score says, class by class',
    async run(trial) {
      const { assert, store } = trial
      for (const place of ['r/x', 'd/x', 'l/x', 's/x']) {
        const [a, b] = [`a-${place[0]}`, `b-${place[0]}`]
        const first = await put(store, created(a, { place, score: 10 }))
        await put(store, created(b, { place, score: 20 }))
        assert.deepEqual(await keysOf(trial, { place, limit: 9 }), [a, b])
        await put(store, { key: a, expect: first, score: 30, stamp: 'again' })
        assert.deepEqual(await keysOf(trial, { place, limit: 9 }), [b, a])
        assert.deepEqual(await keysOf(trial, { place, to: 25, limit: 9 }), [b])
      }
    },
  },
  {
    name: 'a long range comes whole',
    async run(trial) {
      const { assert, store, scale } = trial
      const n = Math.ceil(10_000 / scale)
      await commitMany(
        store,
        Array.from({ length: n }, (_, i) => created(`k${i}`, { score: n - i })),
      )
      const { ranges, counts } = await trial.read({
        ranges: [{ place: PLACE, limit: n + 1 }],
        counts: [PLACE],
      })
      assert.deepEqual([ranges[0]?.length, counts, ranges[0]?.[0]?.key], [n, [n], `k${n - 1}`])
      assert.ok(
        ranges[0]?.every(({ score }, i) => score === i + 1),
        'in order',
      )
    },
  },
]

async function commitMany(store: Store, puts: Put[]): Promise<void> {
  const size = store.limits.batchUnits
  for (let i = 0; i < puts.length; i += size) {
    const versions = await store.commit(puts.slice(i, i + size).map((one) => [one]))
    if (versions.includes(null)) throw new Error('A commit of new records was refused')
  }
}

const units: StoreCase[] = [
  {
    name: 'a version never matches again after a drop and a new start',
    async run(trial) {
      const { assert, store, scale } = trial
      const seen = new Set<string>()
      for (let i = 0; i < Math.ceil(1_000 / scale); i++) {
        const version = await put(store, created('a'))
        assert.ok(!seen.has(version), `version ${version} was issued twice`)
        seen.add(version)
        await put(store, { key: 'a', expect: version, drop: true })
      }
      const old = [...seen][0] as string
      await put(store, created('a'))
      assert.deepEqual(await store.commit([[{ key: 'a', expect: old, score: 1 }]]), [null])
    },
  },
  {
    name: 'a version never matches again after a restart',
    needs: { reopen: true, guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const old = await put(store, created('a'))
      await put(store, { key: 'a', expect: old, drop: true })
      const again = await trial.reopen()
      for (let i = 0; i < 50; i++) {
        const version = await put(again, created('a'))
        assert.ok(version !== old, 'the version was issued before the restart')
        assert.deepEqual(await again.commit([[{ key: 'a', expect: old, score: 1 }]]), [null])
        await put(again, { key: 'a', expect: version, drop: true })
      }
    },
  },
  {
    name: 'a put over an old version, over nothing, or over something that must not exist writes nothing',
    needs: { guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const first = await put(store, created('a'))
      await put(store, { key: 'a', expect: first, head: 'second' })
      const versions = await store.commit([[{ key: 'a', expect: first, head: 'third' }]])
      assert.deepEqual(versions, [null])
      assert.deepEqual(await store.commit([[created('a', { head: 'fourth' })]]), [null])
      assert.deepEqual(
        await store.commit([[{ key: 'b', expect: first, place: PLACE, score: 0, head: '' }]]),
        [null],
      )
      assert.deepEqual(await store.commit([[{ key: 'a', expect: first, drop: true }]]), [null])
      const { got } = await trial.read({ get: ['a', 'b'] })
      assert.deepEqual(
        got.map((record) => record?.head),
        ['second', undefined],
      )
    },
  },
  {
    name: 'expectations hold or fail by what is there, not by what this handle saw last',
    needs: { guarantee: 'process', unitPuts: 2 },
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      const first = await put(store, created('a'))
      const see = (): Promise<unknown> =>
        trial.read({ get: ['a'], ranges: [{ place: PLACE, limit: 9 }] })
      await see()
      const second = await put(other, { key: 'a', expect: first, head: 'second' })
      assert.deepEqual(await store.commit([[{ key: 'a', expect: first, head: 'x' }]]), [null])
      const checks = (key: string, seen: string, now: string | null): Put[][] => [
        [created(`${key}.seen`), { key: 'a', expect: seen }],
        [created(`${key}.now`), { key: 'a', expect: now }],
      ]
      const [seen, now] = await store.commit(checks('k', first, second))
      assert.deepEqual([seen, now === null], [null, false])
      const third = await put(store, { key: 'a', expect: second, head: 'third' })
      await see()
      await put(other, { key: 'a', expect: third, drop: true })
      const [gone, absent] = await store.commit(checks('l', third, null))
      assert.deepEqual([gone, absent === null], [null, false])
    },
  },
  {
    name: 'forty rivals for one record: exactly one wins',
    needs: { guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      const rivals = async (rival: (i: number) => Put): Promise<void> => {
        const results = await Promise.all(
          Array.from({ length: 40 }, (_, i) => (i % 2 ? store : other).commit([[rival(i)]])),
        )
        assert.equal(nullTo(results.flat()), 1)
      }
      await rivals((i) => created('a', { head: `born of ${i}` }))
      const { version } = (await get(trial, 'a')) as StoredRecord
      await rivals((i) => ({ key: 'a', expect: version, stamp: `rival ${i}` }))
    },
  },
  {
    name: 'sixteen rivals for the same two records, in both orders: none is torn, none waits for ever',
    needs: { guarantee: 'process', unitPuts: 2 },
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      const a = await put(store, created('a'))
      const b = await put(store, created('b'))
      const results = await Promise.all(
        Array.from({ length: 16 }, (_, i) => {
          const unit = [
            { key: 'a', expect: a, head: `by ${i}` },
            { key: 'b', expect: b, head: `by ${i}` },
          ]
          return (i % 2 ? store : other).commit([i % 4 < 2 ? unit : unit.reverse()])
        }),
      )
      assert.equal(nullTo(results.flat()), 1)
      const { got } = await trial.read({ get: ['a', 'b'] })
      assert.equal(got[0]?.head, got[1]?.head)
      assert.equal(got[0]?.version, got[1]?.version)
    },
  },
  {
    name: 'a unit is all or nothing; the other units of its batch are not its business',
    needs: { guarantee: 'process', unitPuts: 50 },
    async run(trial) {
      const { assert, store } = trial
      const fifty = Array.from({ length: 49 }, (_, i) => created(`torn${i}`))
      const versions = await store.commit([
        [created('before')],
        [...fifty, { key: 'absent', expect: 'no such version' }],
        [created('after'), created('with')],
      ])
      assert.deepEqual(
        versions.map((version) => version !== null),
        [true, false, true],
      )
      const { got, counts } = await trial.read({ get: ['after', 'with', 'torn0'], counts: [PLACE] })
      assert.deepEqual(
        got.map((record) => record?.version),
        [versions[2], versions[2], undefined],
      )
      assert.deepEqual(counts, [3])
    },
  },
  {
    name: 'a check holds or fails its unit, and changes nothing itself',
    needs: { guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const guard = await put(store, created('guard'))
      const results = await store.commit([
        [created('a'), { key: 'guard', expect: guard }],
        [created('b'), { key: 'guard', expect: 'another' }],
        [created('c'), { key: 'guard', expect: guard }],
        [created('d'), { key: 'none', expect: null }],
        [{ key: 'guard', expect: guard }],
      ])
      assert.deepEqual(
        results.map((version) => version !== null),
        [true, false, true, true, true],
      )
      const { got } = await trial.read({ get: ['guard', 'a', 'b', 'c', 'd'] })
      assert.equal(got[0]?.version, guard)
      assert.deepEqual(
        got.map((record) => record !== null),
        [true, true, false, true, true],
      )
    },
  },
  {
    name: 'of two units that each write what the other checks to be absent, one is committed',
    needs: { guarantee: 'process' },
    async run(trial) {
      const { assert, store, scale } = trial
      const other = await trial.second()
      for (let i = 0; i < Math.ceil(60 / scale); i++) {
        const [a, b] = [`a${i}`, `b${i}`]
        const results = await Promise.all([
          store.commit([[created(a), { key: b, expect: null }]]),
          other.commit([[created(b), { key: a, expect: null }]]),
        ])
        assert.equal(nullTo(results.flat()), 1)
        const { got } = await trial.read({ get: [a, b] })
        assert.equal(got.filter((record) => record !== null).length, 1)
      }
    },
  },
  {
    name: 'a thousand units in one batch answer in their order',
    async run(trial) {
      const { assert, store, scale } = trial
      const size = Math.min(store.limits.batchUnits, Math.ceil(1_000 / scale))
      const first = await store.commit(Array.from({ length: size }, (_, i) => [created(`k${i}`)]))
      assert.equal(nullTo(first), size)
      const { got } = await trial.read({ get: ['k0', `k${size - 1}`] })
      assert.deepEqual(
        got.map((record) => record?.version),
        [first[0], first[size - 1]],
      )
    },
  },
]

const limits: StoreCase[] = [
  {
    name: 'a unit at the limit passes, one over it is refused by name and writes nothing',
    async run(trial) {
      const { assert, store } = trial
      const max = store.limits.unitPuts
      if (max <= 1_000)
        await put(store, ...Array.from({ length: max }, (_, i) => created(`fits${i}`)))
      const over = Array.from({ length: max + 1 }, (_, i) => created(`over${i}`))
      await assert.rejects(store.commit([[created('other')], over]), { name: 'TypeError' })
      const { got } = await trial.read({ get: ['other', 'over0'] })
      assert.deepEqual(got, [null, null])
    },
  },
  {
    name: 'a large unit, with the longest keys, places and heads, is added, moved and dropped',
    needs: { guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const { unitPuts, keyBytes } = store.limits
      const n = Math.min(unitPuts, 50)
      const long = (name: string, bytes: number): string => name.padEnd(bytes, '.')
      const keys = Array.from({ length: n }, (_, i) => long(`j/${i}`, keyBytes))
      const places = (kind: string): string[] => keys.map((_, i) => long(`r/${kind}${i}`, 420))
      const texts = (letter: string): Partial<Put> => ({
        head: letter.repeat(HEAD_BYTES_MAX),
        parts: { data: letter.repeat(8_000) },
      })
      const from = places('from')
      const to = places('to')
      const adds = keys.map((key, i) => created(key, { place: from[i] as string, ...texts('a') }))
      const first = await put(store, ...adds)
      const moves = keys.map((key, i) => ({ key, expect: first, place: to[i] as string }))
      const second = await put(store, ...moves.map((move) => ({ ...move, ...texts('b') })))
      const { got, ranges, counts } = await trial.read({
        get: keys,
        parts: ['data'],
        ranges: [{ place: to[0] as string, limit: 9 }],
        counts: [from[0] as string, to[0] as string],
      })
      assert.deepEqual(
        got.map((record) => [record?.version, record?.place, record?.parts?.['data']?.[7_999]]),
        to.map((place) => [second, place, 'b']),
      )
      assert.deepEqual([ranges[0]?.map(({ key }) => key), counts], [[keys[0]], [0, 1]])
      await put(store, ...keys.map((key) => ({ key, expect: second, drop: true as const })))
      assert.deepEqual(await keysOf(trial, { prefix: 'j/', limit: 9 }), [])
    },
  },
  {
    name: 'a key that one unit writes may not stand in another',
    async run(trial) {
      const { assert, store } = trial
      await assert.rejects(store.commit([[created('a')], [created('a')]]), { name: 'TypeError' })
      await assert.rejects(
        store.commit([[created('a')], [created('b'), { key: 'a', expect: null }]]),
        { name: 'TypeError' },
      )
      await assert.rejects(store.commit([[{ key: 'a', expect: null }, created('a')]]), {
        name: 'TypeError',
      })
      assert.equal(await get(trial, 'a'), null)
    },
  },
  {
    name: 'the largest head, key and part pass, and one byte more is refused',
    async run(trial) {
      const { assert, store } = trial
      const { keyBytes, partBytes } = store.limits
      const quotes = '"'.repeat(HEAD_BYTES_MAX)
      const wide = '漢'.repeat(Math.floor(HEAD_BYTES_MAX / 3))
      const part = 'p'.repeat(partBytes)
      const key = 'k'.repeat(keyBytes)
      await put(store, created('quotes', { head: quotes }))
      await put(store, created('wide', { head: wide, parts: { data: part } }))
      await put(store, created(key))
      const { got } = await trial.read({ get: ['quotes', 'wide', key], parts: ['data'] })
      assert.deepEqual(
        got.map((record) => record?.head),
        [quotes, wide, `head of ${key}`],
      )
      assert.equal(got[1]?.parts?.['data']?.length, partBytes)
      const refused = [
        created('over', { head: `${quotes}"` }),
        created('over', { head: `${wide}漢` }),
        created(`${key}k`),
        created('over', { parts: { data: `${part}p` } }),
      ]
      for (const one of refused) await assert.rejects(store.commit([[one]]), { name: 'TypeError' })
      assert.equal(await get(trial, 'over'), null)
    },
  },
  {
    name: 'what no store could keep alike is refused: no place, no whole score, no ASCII key, a NUL',
    async run(trial) {
      const { assert, store } = trial
      const bad: Put[] = [
        { key: 'a', expect: null, head: '' },
        created('a', { score: 0.5 }),
        created('a', { score: Number.MAX_SAFE_INTEGER + 1 }),
        created('a', { tags: { t: NaN } }),
        created(''),
        created('a b'),
        created('é'),
        created('a', { place: 'r/é' }),
        created('a', { place: 'k/one' }),
        created('a', { head: 'a\0b' }),
        created('a', { parts: { data: '\0' } }),
        created('k/a', { place: 'r/one' }),
      ]
      for (const one of bad) await assert.rejects(store.commit([[one]]), { name: 'TypeError' })
      assert.deepEqual(await keysOf(trial, { prefix: 'a', limit: 9 }), [])
    },
  },
]

const claims: StoreCase[] = [
  {
    name: 'eight claimers by read and commit: each record goes to one of them',
    needs: { guarantee: 'process' },
    async run(trial) {
      await eightClaimers(trial, async (store, stamp) => {
        const { ranges } = await store.read({ ranges: [{ place: PLACE, limit: 25 }] })
        const found = ranges[0] ?? []
        const versions = await store.commit(
          found.map(({ key, version }) => [
            { key, expect: version, place: 'l/one', score: 1, stamp },
          ]),
        )
        return { seen: found.length, won: found.filter((_, i) => versions[i] !== null) }
      })
    },
  },
  {
    name: 'eight claimers by take: each record goes to one of them',
    needs: { take: true },
    async run(trial) {
      let calls = 0
      await eightClaimers(trial, async (store, claimer) => {
        const stamp = `${claimer} ${calls++}`
        const request = { from: [PLACE], limit: 25, into: 'l/one', score: 1, stamp }
        const won = (await store.take?.(request)) ?? []
        return { seen: won.length, won }
      })
    },
  },
  {
    name: 'take gives the first of several places in the order of (score, key), stamped and with parts',
    needs: { take: true },
    async run(trial) {
      const { assert, store } = trial
      await put(
        store,
        created('a', { place: 'r/x', score: 2, parts: { data: 'A' }, tags: { t: 5 } }),
      )
      await put(store, created('b', { place: 'r/y', score: 1, parts: { data: 'B', log: 'L' } }))
      await put(store, created('c', { place: 'r/y', score: 2 }))
      await put(store, created('d', { place: 'r/z', score: 0 }))
      const taken =
        (await store.take?.({
          from: ['r/x', 'r/y'],
          limit: 2,
          into: 'l/x',
          score: 77,
          stamp: 'me',
          parts: ['data'],
        })) ?? []
      assert.deepEqual(
        taken.map(({ key, place, score, stamp, parts }) => [key, place, score, stamp, parts]),
        [
          ['b', 'l/x', 77, 'me', { data: 'B' }],
          ['a', 'l/x', 77, 'me', { data: 'A' }],
        ],
      )
      assert.deepEqual(
        [await get(trial, 'a'), await get(trial, 'b')].map((record) => record?.version),
        [taken[1]?.version, taken[0]?.version],
      )
      assert.deepEqual(await keysOf(trial, { tag: 't', limit: 9 }), ['a'])
      assert.deepEqual(await keysOf(trial, { place: 'r/y', limit: 9 }), ['c'])
    },
  },
  {
    name: 'take takes nothing while a key in `unless` exists',
    needs: { take: true },
    async run(trial) {
      const { assert, store } = trial
      const pause = await put(store, created('k/pause', { place: 'k/pause' }))
      await put(store, created('a'))
      const request = {
        from: [PLACE],
        limit: 9,
        into: 'l/one',
        score: 1,
        stamp: 'me',
        unless: ['k/other', 'k/pause'],
      }
      assert.deepEqual(await store.take?.(request), [])
      await put(store, { key: 'k/pause', expect: pause, drop: true })
      assert.equal((await store.take?.(request))?.length, 1)
    },
  },
]

type ClaimSome = (store: Store, stamp: string) => Promise<{ seen: number; won: StoredRecord[] }>

async function eightClaimers(trial: StoreTrial, claim: ClaimSome): Promise<void> {
  const { assert, store, scale } = trial
  const n = Math.ceil(5_000 / scale)
  await commitMany(
    store,
    Array.from({ length: n }, (_, i) => created(`k${i}`, { score: i % 7 })),
  )
  const other = await trial.second()
  const owners = new Map<string, string>()
  const claimer = async (handle: Store, stamp: string): Promise<void> => {
    for (;;) {
      const { seen, won } = await claim(handle, stamp)
      for (const { key } of won) {
        assert.ok(!owners.has(key), `"${key}" went to ${owners.get(key)} and to ${stamp}`)
        owners.set(key, stamp)
      }
      if (seen === 0) return
    }
  }
  await Promise.all(
    Array.from({ length: 8 }, (_, i) => claimer(i % 2 ? store : other, `claimer ${i}`)),
  )
  assert.equal(owners.size, n)
  const { ranges } = await trial.read({ ranges: [{ place: 'l/one', limit: n + 1 }] })
  assert.equal(ranges[0]?.length, n)
  assert.ok(
    ranges[0]?.every(({ key, stamp }) => stamp.startsWith(owners.get(key) ?? '?')),
    'the stamp is the owner',
  )
}

const rest: StoreCase[] = [
  {
    name: 'now is whole milliseconds and never falls',
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      let last = 0
      for (let i = 0; i < 20; i++) {
        const { now } = await (i % 2 ? store : other).read({})
        assert.ok(Number.isSafeInteger(now) && now >= last, `${now} after ${last}`)
        last = now
      }
    },
  },
  {
    name: 'a wake-up is heard on its channel until its hearer leaves, and only when something was written',
    needs: { subscribe: true, guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      const heard: string[] = []
      let fences = 0
      const leave = store.subscribe?.('one', (at) => void heard.push(`one ${at}`)) as () => void
      const leaveLast = store.subscribe?.('last', () => void fences++) as () => void
      const wake = async (channel: string, at: number, key: string): Promise<void> =>
        void (await other.commit([[created(key)]], { wake: [{ channel, at }] }))
      // A store that connects to hear does so meanwhile, and who hears one hears all before it.
      const fence = async (key: string): Promise<void> => {
        const before = fences
        for (let tries = 0; fences === before && tries < 500; tries++) {
          await wake('last', 0, `${key}-${tries}`)
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
      await fence('warm')
      await wake('one', 5, 'a')
      await wake('one', 6, 'a')
      await wake('two', 7, 'b')
      await fence('c')
      leave()
      leave()
      await wake('one', 8, 'd')
      await fence('e')
      leaveLast()
      assert.deepEqual(heard, ['one 5'])
      assert.ok(fences >= 3, 'fences')
    },
  },
  {
    name: 'whoever subscribes to one channel after another from the start hears all of them soon',
    needs: { subscribe: true, guarantee: 'process' },
    async run(trial) {
      const { assert, store } = trial
      const other = await trial.second()
      const heard = new Set<string>()
      const channels = Array.from({ length: 100 }, (_, i) => `channel-${i}`)
      const leave: ((() => void) | undefined)[] = []
      // A store that connects to hear does so meanwhile.
      for (const channel of channels) {
        leave.push(store.subscribe?.(channel, () => void heard.add(channel)))
        if (leave.length % 4 === 0) await new Promise((resolve) => setTimeout(resolve))
      }
      for (let round = 0; round < 150 && heard.size < channels.length; round++) {
        const wake = channels.map((channel) => ({ channel, at: round }))
        await other.commit([[created(`round-${round}`)]], { wake })
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      for (const stop of leave) stop?.()
      assert.deepEqual([...heard].sort(), [...channels].sort())
    },
  },
  {
    name: 'operations only grow, and a commit is counted',
    async run(trial) {
      const { assert, store } = trial
      const before = store.operations()
      const version = await put(store, created('a'))
      await put(store, { key: 'a', expect: version, drop: true })
      await trial.read({ get: ['a'], ranges: [{ place: PLACE, limit: 1 }] })
      const after = store.operations()
      assert.ok(after.writes > before.writes, 'a write')
      assert.ok(after.deletes + after.writes > before.deletes + before.writes + 1, 'a delete')
      assert.ok(after.reads + after.lists > before.reads + before.lists, 'a read')
    },
  },
  {
    name: 'close can be called twice',
    async run({ store }) {
      await put(store, created('a'))
      await store.close()
      await store.close()
    },
  },
  {
    name: 'random puts leave what a plain model says, in every list',
    run: (trial) => randomModelRun(trial, { rounds: 120 }),
  },
  {
    name: 'take is a read and a commit in one, in random states',
    needs: { take: true },
    run: (trial) => randomModelRun(trial, { rounds: 500, takes: true }),
  },
]

/**
 * What every store must do, as data: it imports no test runner and no platform, so it runs wherever
 * JavaScript runs. Cases that need more than a store promises are skipped by `skipReason`.
 */
export const storeCases: readonly StoreCase[] = [
  ...records,
  ...lists,
  ...units,
  ...limits,
  ...claims,
  ...rest,
]
