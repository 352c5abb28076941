import { type Random, randomToken } from './clock.ts'
import { WherryError } from './errors.ts'

/** What an id of a user's own may look like: safe in a URL, a key and a file name. */
const ID = /^[A-Za-z0-9_-]{1,64}$/

/** Digits in the order of their bytes, without letters that are mistaken for others. */
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
const TIME_LENGTH = 9
const COUNT_LENGTH = 3
const RANDOM_LENGTH = 8
const COUNT_MAX = 32 ** COUNT_LENGTH
const GENERATED = new RegExp(
  `^[${DIGITS}]{${TIME_LENGTH + COUNT_LENGTH}}[0-9a-z]{${RANDOM_LENGTH}}$`,
)

/** Whether the id looks like one of `idGenerator`, so that its order is its time. */
export function isGeneratedId(id: string): boolean {
  return GENERATED.test(id)
}

/** Whether a job can have this id at all. */
export function isId(id: unknown): id is string {
  return typeof id === 'string' && ID.test(id)
}

/**
 * Refuses ids that a URL, a key or a file name would change.
 *
 * @throws WherryError `name-invalid`.
 */
export function assertId(id: unknown): asserts id is string {
  if (isId(id)) return
  throw new WherryError(
    'name-invalid',
    `Cannot use ${JSON.stringify(id)} as the id of a job: expected 1 to 64 of A-Z, a-z, 0-9, "_" and "-"`,
  )
}

/**
 * Makes ids whose order as text is the order of their making: 45 bits of milliseconds, a counter
 * within the millisecond, and 41 random bits to keep processes apart.
 *
 * The order holds within one process even when its clock falls; between processes it is as good as
 * their clocks are.
 */
export function idGenerator(now: () => number, random: Random): () => string {
  let last = 0
  let count = 0
  return () => {
    const ms = Math.floor(now())
    if (ms > last) {
      last = ms
      count = 0
    } else if (++count === COUNT_MAX) {
      last++
      count = 0
    }
    return (
      digits(last, TIME_LENGTH) + digits(count, COUNT_LENGTH) + randomToken(random, RANDOM_LENGTH)
    )
  }
}

function digits(value: number, length: number): string {
  let text = ''
  for (let i = 0, rest = value; i < length; i++, rest = Math.floor(rest / 32)) {
    text = DIGITS[rest % 32] + text
  }
  return text
}
