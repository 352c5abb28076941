import superjson from 'superjson'
import { messageOf, WherryError } from './errors.ts'

/** What superjson calls its `meta`: which values of `json` are not what they look like. */
export type RichMeta = Readonly<Record<string, unknown>>

/** A value as JSON, with the marks that give its Dates, Maps and so on back. */
export interface RichJson {
  readonly json: unknown
  readonly meta?: RichMeta
}

/**
 * Serialises a value to the text that stores keep. Dates, Maps, Sets, BigInts, `undefined`, URLs,
 * RegExps, Errors, typed arrays, cycles and shared references come back from `decode` as they were;
 * only keys of Maps and items of Sets are objects of their own then.
 *
 * A value that plain JSON can hold skips superjson, which costs ten times as much; the text is
 * superjson's either way.
 *
 * @throws WherryError `data-unserialisable`, naming the path, rather than lose a value in silence.
 *
 * @example
 * ```ts
 * decode(encode({ at: new Date(0) })) // { at: 1970-01-01T00:00:00.000Z }
 * ```
 */
export function encode(value: unknown, what = 'data'): string {
  return guarded(what, () => JSON.stringify(marked(value, what)))
}

/** The same, before it becomes text. */
export function serialise(value: unknown, what = 'data'): RichJson {
  return guarded(what, () => marked(value, what))
}

function marked(value: unknown, what: string): RichJson {
  if (isPlain(value, new Set())) return { json: value }
  return superjson.serialize(copy(value, what, new Map())) as RichJson
}

/** What superjson or the stack cannot take is refused by name. */
function guarded<T>(what: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (error instanceof WherryError) throw error
    throw new WherryError('data-unserialisable', `Cannot serialise ${what}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/**
 * Gives back what `encode` was given. For text that we wrote ourselves: a superjson text from
 * outside may name any type and any size.
 *
 * @throws WherryError `record-corrupt` when the text is not `encode`'s.
 */
export function decode(text: string): unknown {
  try {
    const rich = JSON.parse(text) as RichJson
    return rich.meta === undefined ? rich.json : superjson.deserialize(rich as never)
  } catch (error) {
    throw new WherryError('record-corrupt', `Cannot read a stored value: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** Whether JSON alone gives the value back: a cheap walk, and false for anything that is unusual. */
function isPlain(value: unknown, seen: Set<object>): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object') return false
  // A shared object is one object to superjson and two to JSON.
  if (seen.has(value)) return false
  seen.add(value)
  if (Array.isArray(value)) return value.every((item) => isPlain(item, seen)) && isDense(value)
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  for (const key in value) {
    if (!isPlain((value as Record<string, unknown>)[key], seen)) return false
  }
  return Object.getOwnPropertySymbols(value).length === 0
}

function isDense(items: readonly unknown[]): boolean {
  for (let i = 0; i < items.length; i++) if (!(i in items)) return false
  return true
}

const TYPED_ARRAYS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
] as const

/**
 * Copies what superjson keeps, applies `toJSON`, makes plain objects of class instances, and
 * refuses the rest, which superjson would drop or be unable to read again.
 */
function copy(value: unknown, path: string, copies: Map<unknown, unknown>): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw unserialisable(path, `is a ${typeof value}`, 'a value')
  }
  if (typeof value !== 'object' || value === null) return value
  if (copies.has(value)) return copies.get(value)
  const kept = keptAsItIs(value, path)
  if (kept) return value
  return copyContainer(value, path, copies)
}

/**
 * Copies a Map's key or a Set's item as an object of its own: to join it with the same object
 * elsewhere superjson would move it to the end, and then take others for it.
 */
function copyApart(value: unknown, path: string, copies: Map<unknown, unknown>): unknown {
  if (value instanceof Date) return copy(new Date(value), path, copies)
  const known = copies.get(value)
  copies.delete(value)
  const apart = copy(value, path, copies)
  copies.delete(value)
  if (known !== undefined) copies.set(value, known)
  return apart
}

function keptAsItIs(value: object, path: string): boolean {
  if (value instanceof Date) {
    if (!Number.isNaN(value.getTime())) return true
    throw unserialisable(path, 'is an invalid Date', 'a Date that has a time')
  }
  if (value instanceof RegExp || value instanceof URL || value instanceof Error) return true
  if (TYPED_ARRAYS.some((type) => Object.getPrototypeOf(value) === type.prototype)) return true
  if (!ArrayBuffer.isView(value) && ('toJSON' in value || OPEN.test(tagOf(value)))) return false
  throw unserialisable(
    path,
    `is a ${value.constructor?.name}`,
    'a Uint8Array, text or plain values',
  )
}

/** Objects whose content is in their fields or items; of any other a copy would be empty. */
const OPEN = /^\[object (?:Object|Array|Map|Set)\]$/

function tagOf(value: object): string {
  return Object.prototype.toString.call(value)
}

function copyContainer(value: object, path: string, copies: Map<unknown, unknown>): unknown {
  if (Array.isArray(value)) {
    const items: unknown[] = []
    copies.set(value, items)
    for (let i = 0; i < value.length; i++) items.push(copy(value[i], `${path}[${i}]`, copies))
    return items
  }
  if (value instanceof Map) {
    const map = new Map()
    copies.set(value, map)
    for (const [key, item] of value)
      map.set(
        copyApart(key, `${path} (a key)`, copies),
        copy(item, `${path}.get(${String(key)})`, copies),
      )
    return map
  }
  if (value instanceof Set) {
    const set = new Set()
    copies.set(value, set)
    for (const item of value) set.add(copyApart(item, `${path} (an item)`, copies))
    return set
  }
  if ('toJSON' in value && typeof value.toJSON === 'function')
    return copy(value.toJSON(), path, copies)
  const fields: Record<string, unknown> = {}
  copies.set(value, fields)
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__') throw unserialisable(`${path}.__proto__`, 'is there', 'no such key')
    fields[key] = copy(item, `${path}.${key}`, copies)
  }
  return fields
}

function unserialisable(path: string, is: string, expected: string): WherryError {
  return new WherryError(
    'data-unserialisable',
    `Cannot serialise ${path}: it ${is}, expected ${expected}`,
  )
}
