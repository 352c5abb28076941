/**
 * JSON with superjson's marks, from outside. superjson itself trusts its marks: one of 61 bytes makes
 * it allocate 5 GB. Here a mark is one of the few below, fits its value, and lies where it says.
 */

import { refusal, shown } from '../refusal.ts'
import { isIsoDate } from './iso-date.ts'
import { recordOf } from './record.ts'

interface Kind {
  readonly expected: string
  fits(value: unknown): boolean
  make(value: never): unknown
}

/** Digits of a bigint that are read: some engines take a second for a hundred thousand. */
const BIGINT_DIGITS_MAX = 4_096
const BIGINT = new RegExp(`^(?:0|-?[1-9]\\d{0,${BIGINT_DIGITS_MAX - 1}})$`)

/**
 * Every kind turns what it fits into something that none of them fits, so a value cannot be marked
 * twice, and nothing can be marked inside of it afterwards.
 */
const KINDS: Readonly<Record<string, Kind>> = {
  Date: {
    expected: 'ISO 8601 text',
    fits: isIsoDate,
    make: (text: string) => new Date(text),
  },
  URL: {
    expected: 'the text of a URL',
    fits: (value) => typeof value === 'string' && URL.canParse(value),
    make: (text: string) => new URL(text),
  },
  bigint: {
    expected: `decimal text of up to ${BIGINT_DIGITS_MAX} digits`,
    fits: (value) => typeof value === 'string' && BIGINT.test(value),
    make: (text: string) => BigInt(text),
  },
  number: {
    expected: '"NaN", "Infinity", "-Infinity" or "-0"',
    fits: (value) => ['NaN', 'Infinity', '-Infinity', '-0'].includes(value as string),
    make: (text: string) => Number(text),
  },
  undefined: {
    expected: 'null',
    fits: (value) => value === null,
    make: () => undefined,
  },
  set: {
    expected: 'an array',
    fits: Array.isArray,
    make: (items: unknown[]) => new Set(items),
  },
  map: {
    expected: 'an array of pairs',
    fits: (value) => Array.isArray(value) && value.every(isPair),
    make: (entries: [unknown, unknown][]) => new Map(entries),
  },
}

/** What superjson writes; any other would be read by other rules. May be left out. */
const VERSION = 1
const UNSAFE_SEGMENTS = ['__proto__', 'prototype', 'constructor']

/**
 * Gives marked values their types, in `json` itself.
 *
 * @throws WherryError `input-invalid` for a mark that is not on the list, or not as superjson makes it.
 */
export function richValue(json: unknown, meta: unknown, what: string): unknown {
  const { values, v = VERSION } = recordOf(meta, ['values', 'v'], `meta of ${what}`)
  if (v !== VERSION) {
    throw refusal('read the body', `v in meta of ${what} is ${shown(v)}`, `${VERSION}`)
  }
  const root = { json }
  if (Array.isArray(values)) reviveAt(root, 'json', values, what)
  else reviveTree(json, values, what)
  return root.json
}

/**
 * Characters of all the paths that superjson's marks of the value will have. It builds each of them
 * anew at every level, and a body of 1 MiB may ask for gigabytes: `-0` is a value with a mark, too.
 */
export function pathLengthOf(value: unknown, path = 0): number {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return 0
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? 0 : path
  const own = Array.isArray(value) || isPlainObject(value) ? 0 : path
  if (typeof value !== 'object') return own
  const inside = value instanceof Map ? [...value] : value instanceof Set ? [...value] : value
  return Object.entries(inside).reduce(
    (sum, [key, item]) => sum + pathLengthOf(item, path + key.length + 1),
    own,
  )
}

type Container = Record<string, unknown>

/** Recurses as deep as the body is nested, which has a bound. */
function reviveTree(value: unknown, tree: unknown, what: string): void {
  for (const [path, mark] of Object.entries(recordOf(tree, null, `meta of ${what}`))) {
    const where = `${what}.${path}`
    const segments = segmentsOf(path, where)
    const last = segments.pop() as string
    let holder = value
    for (const segment of segments) holder = containerOf(holder, segment, where)[segment]
    reviveAt(containerOf(holder, last, where), last, mark, where)
  }
}

/** `mark` is `[kind]`, or `[kind, tree]` with the marks of what is inside. */
function reviveAt(holder: Container, key: string, mark: unknown, where: string): void {
  const [name, tree] = Array.isArray(mark) && mark.length <= 2 ? (mark as unknown[]) : []
  const kind = typeof name === 'string' && Object.hasOwn(KINDS, name) ? KINDS[name] : undefined
  if (kind === undefined) {
    throw refusal(
      'read the body',
      `the mark of ${shown(where)} is ${shown(mark)}`,
      `one of ${Object.keys(KINDS).join(', ')}`,
    )
  }
  if (tree !== undefined) reviveTree(holder[key], tree, where)
  const value = holder[key]
  if (!kind.fits(value)) {
    throw refusal('read the body', `${shown(where)} is marked as ${name}`, kind.expected)
  }
  holder[key] = kind.make(value as never)
}

/** The array or object, if it has the segment. */
function containerOf(value: unknown, segment: string, where: string): Container {
  const has = Array.isArray(value)
    ? /^(?:0|[1-9]\d*)$/.test(segment) && Number(segment) < value.length
    : isPlainObject(value) && Object.hasOwn(value, segment)
  if (has) return value as Container
  throw refusal('read the body', `meta marks ${shown(where)}`, 'something that is there')
}

function isPlainObject(value: unknown): value is Container {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}

function isPair(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2
}

/** A path as superjson writes it: segments between dots, with `\.` and `\\` for those themselves. */
function segmentsOf(path: string, where: string): string[] {
  const segments = ['']
  for (const [token, escaped] of path.matchAll(/\\(.?)|./gs)) {
    if (token === '.') segments.push('')
    else if (escaped === undefined) segments.push((segments.pop() as string) + token)
    else if (escaped === '.' || escaped === '\\')
      segments.push((segments.pop() as string) + escaped)
    else throw refusal('read the body', `meta marks ${shown(where)}`, 'a path of superjson')
  }
  if (!segments.some((segment) => UNSAFE_SEGMENTS.includes(segment))) return segments
  throw refusal('read the body', `meta marks ${shown(where)}`, 'no property of every object')
}
