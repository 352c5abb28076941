import { HEAD_BYTES_MAX, type Limits, type Put } from './store.ts'

/** Keys, places, tags and names of parts: printable ASCII, so that every store sorts them alike. */
const NAME = /^[!-~]+$/

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
 * @throws TypeError that names the limit and the key.
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
        throw new TypeError(`Cannot commit: the key "${put.key}" stands twice in one batch`)
      }
      unitOf.set(put.key, { unit: index, writes: write })
    }
    if (writes > limits.unitPuts) {
      throw new TypeError(
        `Cannot commit: a unit writes ${writes} records, expected at most ${limits.unitPuts} (unitPuts)`,
      )
    }
    if (bytes > limits.unitBytes) {
      throw new TypeError(
        `Cannot commit: a unit holds ${bytes} bytes, expected at most ${limits.unitBytes} (unitBytes)`,
      )
    }
  })
}

function assertPut(put: Put, limits: Limits): void {
  const where = `the put of "${put.key}"`
  const { tags = {}, parts = {} } = put
  assertNames([put.key, put.place ?? '-', ...Object.keys(tags), ...Object.keys(parts)], where)
  assertScores([put.score ?? 0, ...Object.values(tags)], where)
  if (put.key.length > limits.keyBytes) {
    throw new TypeError(
      `Cannot commit ${where}: the key has ${put.key.length} bytes, expected at most ${limits.keyBytes} (keyBytes)`,
    )
  }
  const unplaced = put.place === undefined || put.score === undefined
  if (put.expect === null && unplaced && isWrite(put)) {
    throw new TypeError(`Cannot commit ${where}: a new record needs a place and a score`)
  }
  if (put.place !== undefined && put.place.startsWith('k') !== put.key.startsWith('k/')) {
    throw new TypeError(
      `Cannot commit ${where}: its place is "${put.place}", expected class k just when the key starts with "k/"`,
    )
  }
  for (const text of [put.head, put.stamp, ...Object.values(parts)]) assertText(text, where)
  assertBytes(put.head, HEAD_BYTES_MAX, `the head of ${where}`)
  for (const [name, part] of Object.entries(parts)) {
    assertBytes(part, limits.partBytes, `part "${name}" of ${where}`)
  }
}

function assertNames(names: readonly string[], where: string): void {
  for (const name of names) {
    if (NAME.test(name)) continue
    throw new TypeError(`Cannot commit ${where}: "${name}" is not printable ASCII`)
  }
}

function assertScores(scores: readonly number[], where: string): void {
  for (const score of scores) {
    if (Number.isSafeInteger(score)) continue
    throw new TypeError(`Cannot commit ${where}: the score ${score} is not a safe integer`)
  }
}

/** Some databases keep no NUL in text, and cut it off there in silence. */
function assertText(text: string | null | undefined, where: string): void {
  if (!text?.includes('\0')) return
  throw new TypeError(`Cannot commit ${where}: a text has the character U+0000`)
}

function assertBytes(text: string | null | undefined, max: number, what: string): void {
  if (text === undefined || text === null || !isLonger(text, max)) return
  throw new TypeError(
    `Cannot commit: ${what} has ${byteLength(text)} bytes, expected at most ${max}`,
  )
}

/** Bytes of the put that count for `unitBytes`. */
export function putBytes(put: Put): number {
  let bytes = put.key.length + byteLength(put.head ?? '')
  for (const part of Object.values(put.parts ?? {})) bytes += byteLength(part ?? '')
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
