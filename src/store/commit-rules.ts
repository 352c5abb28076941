import { HEAD_BYTES_MAX, type Limits, type Put } from './store.ts'

/** Keys, places, tags and names of parts: printable ASCII, so that every store sorts them alike. */
const NAME = /^[!-~]+$/

/** A commit that no store may accept. Nothing of it was written. */
export class CommitRefusal extends TypeError {}

/** Whether the put writes; one with nothing but `expect` is a check. */
export function isWrite(put: Put): boolean {
  return (
    put.drop === true ||
    put.head !== undefined ||
    put.stamp !== undefined ||
    put.parts !== undefined ||
    put.place !== undefined ||
    put.score !== undefined ||
    put.tags !== undefined
  )
}

/**
 * Refuses, before anything is written, what no store may accept.
 *
 * @throws CommitRefusal (a TypeError) that names the limit and the key.
 */
export function assertCommit(units: readonly (readonly Put[])[], limits: Limits): void {
  const unitOf = new Map<string, { unit: number; writes: boolean }>()
  units.forEach((unit, index) => {
    let writes = 0
    let bytes = 0
    for (const put of unit) {
      assertPut(put, limits)
      bytes += putBytes(put)
      const write = isWrite(put)
      if (write) writes++
      const other = unitOf.get(put.key)
      if (other !== undefined && (other.unit === index || other.writes || write)) {
        throw new CommitRefusal(`Cannot commit: the key "${put.key}" stands twice in one batch`)
      }
      unitOf.set(put.key, { unit: index, writes: write })
    }
    if (writes > limits.unitPuts) {
      throw new CommitRefusal(
        `Cannot commit: a unit writes ${writes} records, expected at most ${limits.unitPuts} (unitPuts)`,
      )
    }
    if (bytes > limits.unitBytes) {
      throw new CommitRefusal(
        `Cannot commit: a unit holds ${bytes} bytes, expected at most ${limits.unitBytes} (unitBytes)`,
      )
    }
  })
}

function assertPut(put: Put, limits: Limits): void {
  const { key, place, score, head, stamp, tags, parts } = put
  assertName(key, put)
  if (place !== undefined) assertName(place, put)
  if (score !== undefined) assertScore(score, put)
  for (const tag in tags) {
    assertName(tag, put)
    assertScore(tags[tag] as number, put)
  }
  if (key.length > limits.keyBytes) {
    throw refused(
      put,
      `the key has ${key.length} bytes, expected at most ${limits.keyBytes} (keyBytes)`,
    )
  }
  if (put.expect === null && (place === undefined || score === undefined) && isWrite(put)) {
    throw refused(put, 'a new record needs a place and a score')
  }
  if (place !== undefined && place.startsWith('k') !== key.startsWith('k/')) {
    throw refused(
      put,
      `its place is "${place}", expected class k just when the key starts with "k/"`,
    )
  }
  assertText(head, HEAD_BYTES_MAX, 'the head', put)
  assertText(stamp, Infinity, 'the stamp', put)
  for (const name in parts) {
    assertName(name, put)
    assertText(parts[name], limits.partBytes, 'a part', put)
  }
}

function refused({ key }: Put, why: string): CommitRefusal {
  return new CommitRefusal(`Cannot commit the put of "${key}": ${why}`)
}

function assertName(name: string, put: Put): void {
  if (!NAME.test(name)) throw refused(put, `"${name}" is not printable ASCII`)
}

function assertScore(score: number, put: Put): void {
  if (!Number.isSafeInteger(score)) throw refused(put, `the score ${score} is not a safe integer`)
}

function assertText(text: string | null | undefined, max: number, what: string, put: Put): void {
  if (text === undefined || text === null) return
  // Some databases keep no NUL in text, and cut it off there in silence.
  if (text.includes('\0')) throw refused(put, `${what} has the character U+0000`)
  if (isLonger(text, max)) {
    throw refused(put, `${what} has ${byteLength(text)} bytes, expected at most ${max}`)
  }
}

/** Bytes of the put that count for `unitBytes`. */
export function putBytes(put: Put): number {
  let bytes = put.key.length + byteLength(put.head ?? '')
  for (const name in put.parts) bytes += byteLength(put.parts[name] ?? '')
  return bytes
}

const encoder = new TextEncoder()

/** Bytes of the text as UTF-8. */
export function byteLength(text: string): number {
  // Three bytes a UTF-16 unit is the most there is; ASCII, the usual case, needs no second copy.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all of ASCII
  return /^[\x00-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length
}

/** Whether the text has more than `max` bytes as UTF-8, mostly without counting them. */
export function isLonger(text: string, max: number): boolean {
  if (text.length * 3 <= max) return false
  return text.length > max || byteLength(text) > max
}
