import { inspect } from 'node:util'
import superjson from 'superjson'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/codec.ts'
import { WherryError } from '../../src/main.ts'

class Money {
  readonly cents = 5
  #secret = 1
  get secret(): number {
    return this.#secret
  }
}

class Point {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
  toJSON(): unknown {
    return { at: this.x }
  }
}

describe('encode() and decode()', () => {
  test.each([
    ['a number', 5],
    ['text', 'é漢😀"\\\u0000'],
    ['null', null],
    ['true', true],
    ['an empty object', {}],
    ['a plain tree', { a: [1, { b: null }], c: 'x' }],
    ['an empty array', []],
    ['-0', -0],
    ['NaN', NaN],
    ['infinities', [Infinity, -Infinity]],
    ['a Date', new Date(5)],
    ['a Map', new Map<unknown, unknown>([[1, { a: new Set([2n]) }]])],
    ['a Set', new Set(['a'])],
    ['a bigint', 10n ** 30n],
    ['undefined', undefined],
    ['a field of undefined', { a: undefined, b: 1 }],
    ['a URL', new URL('https://example.org/?a=1')],
    ['a RegExp', /a+/gi],
    ['bytes', new Uint8Array([1, 255])],
    ['keys with dots', { 'a.b': new Date(0), 'a\\.b': 1n }],
  ])('%s comes back as it was', (_name, value) => {
    expect(decode(encode(value))).toEqual(value)
    expect(Object.is(decode(encode(-0)), -0)).toBe(true)
  })

  test('the text is superjson’s, on the fast path too', () => {
    for (const value of [{ a: 1 }, { a: new Date(0) }])
      expect(superjson.parse(encode(value))).toEqual(value)
    expect(encode({ a: [1, 'x', null, true] })).toBe('{"json":{"a":[1,"x",null,true]}}')
  })

  test('a cycle and a shared object stay one object', () => {
    const shared = { n: 1 }
    const value: Record<string, unknown> = { a: shared, b: { c: shared } }
    value['self'] = value
    const back = decode(encode(value)) as { a: unknown; b: { c: unknown }; self: unknown }
    expect(back.self).toBe(back)
    expect(back.a).toBe(back.b.c)
  })

  test('keys of Maps and items of Sets that occur elsewhere stay what and where they are', () => {
    const [a, b, c] = [{ id: 'a' }, { id: 'b' }, { id: 'c' }]
    const [monday, tuesday] = [new Date(1), new Date(2)]
    const value = {
      nodes: [a, b, c],
      chosen: new Set([a, b, c]),
      edges: new Map<unknown, unknown>([
        [a, b],
        [b, new Set([b, a])],
        ['c', c],
      ]),
      days: [monday, tuesday],
      open: new Set([monday, tuesday]),
      hours: new Map([
        [monday, 8],
        [tuesday, 9],
      ]),
    }
    // Equality of Maps and Sets knows no order.
    expect(inspect(decode(encode(value)), { depth: 9 })).toBe(inspect(value, { depth: 9 }))
  })

  test('a cycle through a Set ends', () => {
    const parent = { name: 'parent', children: new Set<unknown>() }
    parent.children.add({ name: 'child', parent }).add(parent)
    const back = decode(encode(parent)) as typeof parent
    const [child] = [...back.children] as { parent: unknown }[]
    expect(child?.parent).toBe(back)
    expect([...back.children]).toHaveLength(2)
  })

  test('an instance keeps its own fields, and toJSON is asked', () => {
    expect(decode(encode({ money: new Money(), point: new Point(3) }))).toEqual({
      money: { cents: 5 },
      point: { at: 3 },
    })
  })

  test('an Error keeps its name and message', () => {
    const back = decode(encode(new RangeError('far'))) as Error
    expect([back instanceof Error, back.name, back.message]).toEqual([true, 'RangeError', 'far'])
  })

  test.each([
    ['a function', { a: { b: [() => {}] } }, 'data.a.b[0] is a function'.replace(' is', ': it is')],
    ['a symbol', Symbol('x'), 'data: it is a symbol'],
    ['an invalid Date', { at: new Date(NaN) }, 'data.at: it is an invalid Date'],
    ['a Buffer', { b: Buffer.from('a') }, 'data.b: it is a Buffer'],
    ['an ArrayBuffer', new ArrayBuffer(2), 'data: it is a ArrayBuffer'],
    ['a promise', { p: Promise.resolve(1) }, 'data.p'],
    ['big integers in bytes', BigInt64Array.of(1n), 'data: it is a BigInt64Array'],
    ['a boxed number', { n: Object(5) }, 'data.n: it is a Number'],
    ['headers', new Headers(), 'data: it is a Headers'],
  ])('%s is refused with its path', (_name, value, part) => {
    const refused = (): string => encode(value)
    expect(refused).toThrow(WherryError)
    expect(refused).toThrow(part)
    expect(refused).toThrow(expect.objectContaining({ code: 'data-unserialisable' }))
  })

  test('a tree too deep is refused, plain or not', () => {
    let plain: unknown = 1
    for (let i = 0; i < 100_000; i++) plain = [plain]
    expect(() => encode(plain)).toThrow(expect.objectContaining({ code: 'data-unserialisable' }))
    let deep: unknown = new Date(0)
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(() => encode(deep)).toThrow(expect.objectContaining({ code: 'data-unserialisable' }))
  })

  test.each(['', 'null?', '{"json":1,"meta":{"values":["nothing"]}}'])(
    'the text %j is refused as corrupt',
    (text) => {
      expect(() => decode(text)).toThrow(expect.objectContaining({ code: 'record-corrupt' }))
    },
  )

  test('an own key "__proto__" is refused beside what needs a mark, where it would be lost', () => {
    const hostile = { ...JSON.parse('{"a":1}'), at: new Date(0) }
    Object.defineProperty(hostile, '__proto__', { value: 1, enumerable: true })
    expect(() => encode(hostile)).toThrow('data.__proto__: it is there')
  })

  test('an own key "__proto__" pollutes nothing', () => {
    const hostile = JSON.parse('{"__proto__":{"polluted":true},"a":1}')
    decode(encode(hostile))
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})
