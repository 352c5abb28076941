import superjson from 'superjson'
import { beforeAll, describe, expect, it } from 'vitest'
import { pathLengthOf, richValue } from '../../src/http/rich-json.ts'
import type { Job } from '../../src/main.ts'
import { openWorld, send, type World } from './requests.ts'

/** A new one each time: superjson notes equal references (bigints and NaNs too), and that is refused. */
const day = (): Date => new Date('2026-11-23T12:00:00.000Z')

const VALUES = {
  'a Date': day(),
  'a Date far off': new Date(8.64e15),
  'a Date before our time': new Date(-8.64e15),
  'a Map': new Map([['a', 1]]),
  'an empty Map': new Map(),
  'a Map from a Map to a Date': new Map([[new Map([[day(), 1n]]), day()]]),
  'a Set': new Set([1, 'a', null]),
  'a Set of Sets': new Set([new Set([day()]), new Set()]),
  'a bigint': -12345678901234567890n,
  'a bigint of nothing': 0n,
  undefined: undefined,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  '-0': -0,
  'a URL': new URL('https://example.org/a?b=c#d'),
  'all of them in an object': {
    at: day(),
    tags: new Set(['a']),
    size: 2n,
    none: undefined,
    rates: [Number.POSITIVE_INFINITY, -0, 1],
    link: new URL('https://example.org'),
    plain: { a: [1, { b: null }] },
  },
  'keys with dots, slashes and nothing': {
    'a.b': { 'c\\d': { '': day() } },
    '\\.': day(),
    '0': [day()],
  },
  'a value behind an array in a Map': new Map([['a', [{ b: [day()] }]]]),
}

describe('richValue()', () => {
  it.each(Object.entries(VALUES))('reads %s as superjson writes it', (_, value) => {
    const { json, meta } = JSON.parse(superjson.stringify(value))
    expect(richValue(json, meta, 'data')).toStrictEqual(value)
  })

  it.each([
    { why: 'a property of every object', json: {}, path: 'toString' },
    { why: 'a place beyond an array', json: [null], path: '1' },
    { why: 'the length of an array', json: [null], path: 'length' },
  ])('looks for no mark at $why', ({ json, path }) => {
    const meta = { values: { [path]: ['undefined'] }, v: 1 }
    expect(() => richValue(json, meta, 'data')).toThrow(/expected something that is there/)
  })

  it('reads what superjson reads, in the same way', () => {
    for (const value of Object.values(VALUES)) {
      const text = superjson.stringify({ value })
      const { json, meta } = JSON.parse(text)
      expect(meta === undefined ? json : richValue(json, meta, 'data')).toStrictEqual(
        superjson.parse(text),
      )
    }
  })
})

describe('pathLengthOf()', () => {
  it.each([
    { why: 'nothing for what JSON holds', value: { a: [1, 'x', null, true, {}] }, length: 0 },
    { why: 'nothing for a root', value: day(), length: 0 },
    { why: 'the key and a dot', value: { abc: day() }, length: 4 },
    { why: 'each level', value: { ab: [0, { c: -0 }] }, length: 7 },
    {
      why: 'what is in a Map or Set, and those',
      value: { m: new Map([[day(), new Set([1n])]]) },
      length: 22,
    },
  ])('counts $why', ({ value, length }) => {
    expect(pathLengthOf(value)).toBe(length)
  })

  it('is at least what superjson writes', () => {
    for (const value of Object.values(VALUES)) {
      const { meta } = superjson.serialize({ value })
      const keys = JSON.stringify(meta?.values ?? {}).match(/"[^"]*":/g) ?? []
      const written = keys.reduce((sum, key) => sum + JSON.parse(key.slice(0, -1)).length, 0)
      // One more for the dot that the first segment has not.
      expect(pathLengthOf({ value })).toBeGreaterThanOrEqual(Math.min(written, 6))
    }
  })
})

describe('a job whose data JSON cannot hold', () => {
  it('comes in with its meta, reaches the handler as it was, and goes out with its meta', async () => {
    const { app, handled } = await openWorld()
    const { json, meta } = superjson.serialize(VALUES)
    const added = await send(app, 'POST /queues/mail/jobs', { data: json, meta: { data: meta } })
    expect(added.status).toBe(201)
    await send(app, 'POST /next')
    expect(handled[0]?.data).toStrictEqual(VALUES)
    const { job } = (await send(app, `GET /jobs/${added.json.job.id}`)).json
    expect(superjson.deserialize({ json: job.data, meta: job.meta.data })).toStrictEqual(VALUES)
    expect(superjson.deserialize({ json: job.result, meta: job.meta.result })).toStrictEqual(VALUES)
  })

  it('can be added again as it went out', async () => {
    const { app } = await openWorld()
    const { json, meta } = superjson.serialize({ at: day() })
    const first = await send(app, 'POST /queues/mail/jobs', { data: json, meta: { data: meta } })
    const { data, meta: marks } = first.json.job
    const second = await send(app, 'POST /queues/mail/jobs', { data, meta: marks })
    expect(second.status).toBe(201)
    expect(second.json.job.meta).toEqual({ data: { values: { at: ['Date'] }, v: 1 } })
  })

  it('may be undefined altogether', async () => {
    const { app } = await openWorld()
    const meta = { data: { values: ['undefined'], v: 1 } }
    const { status, json } = await send(app, 'POST /queues/mail/jobs', { data: null, meta })
    expect(status).toBe(201)
    const { job } = (await send(app, `GET /jobs/${json.job.id}`)).json
    expect(job.data).toBeNull()
  })

  it('keeps numbers that JSON can write and not give back', async () => {
    const { app, service } = await openWorld()
    const { json } = await send(app, 'POST /queues/mail/jobs', '{"data":[-0,1e999]}')
    expect(((await service.findOne(json.job.id)) as Job).data).toStrictEqual([-0, Infinity])
  })
})

describe('a meta from outside', () => {
  let world: World

  beforeAll(async () => {
    world = await openWorld()
  })

  const values = (data: unknown, marks: unknown): string =>
    JSON.stringify({ data, meta: { data: { values: marks, v: 1 } } })
  const kinds: readonly unknown[] = [
    ['typed-array', 'Uint8Array'],
    ['class', 'Job'],
    ['symbol', 'iterator'],
    ['custom', 'any'],
    'regexp',
    'Error',
    'toString',
    '__proto__',
    'constructor',
    'date',
    'Map',
    '',
    null,
    5,
    {},
  ]

  it.each([
    {
      why: '5 GB',
      body: '{"data":5e9,"meta":{"data":{"values":[["typed-array","Uint8Array"]],"v":1}}}',
    },
    {
      why: "5 GB in superjson's own order",
      body: '{"data":5e9,"meta":{"data":{"v":1,"values":["typed-array","Uint8Array"]}}}',
    },
    ...kinds.flatMap((kind) => [
      { why: `the kind ${JSON.stringify(kind)}`, body: values('/a+/', [kind]) },
      { why: `the kind ${JSON.stringify(kind)} inside`, body: values({ a: 'x' }, { a: [kind] }) },
      { why: `${JSON.stringify(kind)} bare`, body: values({ a: 'x' }, { a: kind }) },
    ]),
    { why: 'no kind', body: values('x', []) },
    { why: 'a kind and too much', body: values('2026-01-01T00:00:00Z', ['Date', {}, {}]) },
    { why: 'a tree that is no tree', body: values([[1]], ['set', ['Date']]) },
    { why: 'a tree that is text', body: values(['x'], ['set', 'Date']) },
    { why: 'a tree in a tree', body: values({ a: { b: 'x' } }, { a: { b: ['Date'] } }) },
    {
      why: 'equal references',
      body: '{"data":[{}],"meta":{"data":{"values":{},"referentialEqualities":{"0":["1"]},"v":1}}}',
    },
    {
      why: 'two bigints that are one to superjson',
      body: JSON.stringify({
        data: ['1', '1'],
        meta: { data: superjson.serialize([1n, 1n]).meta },
      }),
    },
    {
      why: 'version 0, whose paths are others',
      body: '{"data":null,"meta":{"data":{"values":["undefined"],"v":0}}}',
    },
    { why: 'version 2', body: '{"data":null,"meta":{"data":{"values":["undefined"],"v":2}}}' },
    { why: 'no values', body: '{"data":null,"meta":{"data":{"v":1}}}' },
    { why: 'values that are null', body: values(null, null) },
    { why: 'a meta that is null', body: '{"data":null,"meta":null}' },
    { why: 'a meta of data that is null', body: '{"data":null,"meta":{"data":null}}' },
    { why: 'a meta of data that is an array', body: '{"data":null,"meta":{"data":["undefined"]}}' },
    {
      why: 'a meta of a result',
      body: '{"data":null,"meta":{"result":{"values":["undefined"],"v":1}}}',
    },
    {
      why: "a meta that is superjson's own",
      body: '{"data":null,"meta":{"values":["undefined"],"v":1}}',
    },
    { why: '__proto__ in a path', body: values({}, { '__proto__.polluted': ['undefined'] }) },
    {
      why: '__proto__ as a path',
      body: '{"data":{"__proto__":null},"meta":{"data":{"values":{"__proto__":["undefined"]},"v":1}}}',
    },
    {
      why: 'constructor in a path',
      body: values(
        { constructor: { prototype: null } },
        { 'constructor.prototype': ['undefined'] },
      ),
    },
    { why: 'prototype in a path', body: values({ prototype: null }, { prototype: ['undefined'] }) },
    { why: 'a property of every object', body: values({}, { toString: ['undefined'] }) },
    { why: 'the length of an array', body: values([null], { length: ['undefined'] }) },
    { why: 'a place beyond an array', body: values([null], { 1: ['undefined'] }) },
    { why: 'a place before an array', body: values([null], { '-1': ['undefined'] }) },
    { why: 'a place of an array, oddly written', body: values([null], { '00': ['undefined'] }) },
    { why: 'half a place', body: values([null], { '0.5': ['undefined'] }) },
    { why: 'a field that is not there', body: values({}, { a: ['undefined'] }) },
    { why: 'a field of text', body: values({ a: 'xyz' }, { 'a.0': ['undefined'] }) },
    { why: 'a field of null', body: values({ a: null }, { 'a.b': ['undefined'] }) },
    {
      why: 'a path with a lone backslash',
      body: values({ 'a\\': null }, { 'a\\': ['undefined'] }),
    },
    {
      why: 'a path with an escape that is none',
      body: values({ ab: null }, { 'a\\b': ['undefined'] }),
    },
    {
      why: 'a value marked twice',
      body: values({ a: { b: null } }, { 'a.b': ['undefined'], a: ['set'] }),
    },
    {
      why: 'something inside of what is marked',
      body: values([[null]], { 0: ['set'], '0.0': ['undefined'] }),
    },
    {
      why: 'something inside of a Map that is made',
      body: values([[['k', null]]], { 0: ['map'], '0.0.1': ['undefined'] }),
    },
    { why: 'a pair that is a Set', body: values([['k', 1]], ['map', { 0: ['set'] }]) },
    { why: 'a Date that is a number', body: values(0, ['Date']) },
    { why: 'a Date that is null', body: values(null, ['Date']) },
    { why: 'a Date that is none', body: values('soon', ['Date']) },
    { why: 'a Date that only an engine understands', body: values('Nov 23 2026', ['Date']) },
    { why: 'a Date beyond all Dates', body: values('+999999-01-01T00:00:00.000Z', ['Date']) },
    { why: 'a Map of an object', body: values({ a: 1 }, ['map']) },
    { why: 'a Map of a number', body: values(5e9, ['map']) },
    { why: 'a Map of no pairs', body: values([1], ['map']) },
    { why: 'a Map of a triple', body: values([[1, 2, 3]], ['map']) },
    { why: 'a Map of text', body: values('ab', ['map']) },
    { why: 'a Set of text', body: values('ab', ['set']) },
    { why: 'a Set of a number', body: values(5e9, ['set']) },
    { why: 'a Set of an object', body: values({ length: 5e9 }, ['set']) },
    { why: 'a bigint of letters', body: values('12n', ['bigint']) },
    { why: 'a bigint of nothing', body: values('', ['bigint']) },
    { why: 'a bigint in hexadecimal', body: values('0x10', ['bigint']) },
    { why: 'a bigint that is a number', body: values(5, ['bigint']) },
    { why: 'a bigint of too many digits', body: values('9'.repeat(4097), ['bigint']) },
    { why: 'a bigint of a million digits', body: values('9'.repeat(1_000_000), ['bigint']) },
    { why: 'a number that JSON holds', body: values('5', ['number']) },
    { why: 'a number that is a number', body: values(5, ['number']) },
    { why: 'a number that is an object', body: values({}, ['number']) },
    { why: 'undefined that is something', body: values('x', ['undefined']) },
    { why: 'undefined that is 0', body: values(0, ['undefined']) },
    { why: 'a URL that is none', body: values('//example.org', ['URL']) },
    { why: 'a URL that is empty', body: values('', ['URL']) },
    { why: 'a URL that is an array', body: values(['https://example.org'], ['URL']) },
    {
      why: 'a tree as deep as a stack',
      body: `{"data":[],"meta":{"data":{"v":1,"values":${'["set",{"0":'.repeat(50_000)}["set"]${'}]'.repeat(50_000)}}}}`,
    },
    {
      why: 'a tree deeper than its data',
      body: `{"data":[],"meta":{"data":{"v":1,"values":${'["set",{"0":'.repeat(50)}["set"]${'}]'.repeat(50)}}}}`,
    },
    { why: 'a path longer than its data', body: values([], { ['0.'.repeat(400_000)]: ['Date'] }) },
    {
      why: 'fifty thousand marks of nothing',
      body: values([], Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [i, ['set']]))),
    },
    { why: 'fifty thousand kinds', body: values([], Array(50_000).fill('Date')) },
    {
      why: 'marks whose paths take all memory',
      body: values(
        { ['k'.repeat(100_000)]: [0, 1, 2, 3, 4, 5].map((key) => [key, null]) },
        {
          ['k'.repeat(100_000)]: [
            'map',
            Object.fromEntries([0, 1, 2, 3, 4, 5].map((i) => [`${i}.1`, ['undefined']])),
          ],
        },
      ),
    },
  ])('is refused when it asks for $why', async ({ body }) => {
    const before = (await send(world.app, 'GET /queues')).json
    const startedAt = performance.now()
    const { status, json } = await send(world.app, 'POST /queues/mail/jobs', body)
    expect([status, json.error.code]).toEqual([400, 'input-invalid'])
    expect(json.error.message.length).toBeLessThan(400)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    expect((await send(world.app, 'GET /queues')).json).toEqual(before)
    expect(Object.keys(Object.prototype)).toEqual([])
  })

  it('refuses data that it could not give back', async () => {
    const body =
      '{"data":{"constructor":1,"at":"2026-01-01T00:00:00Z"},"meta":{"data":{"v":1,"values":{"at":["Date"]}}}}'
    const { status, json } = await send(world.app, 'POST /queues/mail/jobs', body)
    expect([status, json.error.code]).toEqual([400, 'data-unserialisable'])
  })

  it('reads as many marks as a body can hold', async () => {
    const body = values(
      Array(15_000).fill(day().toISOString()),
      Object.fromEntries(Array.from({ length: 15_000 }, (_, i) => [i, ['Date']])),
    )
    expect((await send(world.app, 'POST /queues/mail/jobs', body)).status).toBe(201)
  })
})
