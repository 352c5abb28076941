/** The tables of docs/vendure.md: every weakness has a verdict, and every test that is named is there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const rows = readFileSync(join(ROOT, 'docs/vendure.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
const weaknesses = rows.filter(([number = '']) => /^\d+$/.test(number))
const named = rows.flatMap((row) => {
  const [, file = '', title = ''] = /^`([^`]+\.ts)`: (.+)$/.exec(row.at(-1) ?? '') ?? []
  return file === '' ? [] : [{ file, title }]
})

describe('docs/vendure.md', () => {
  test('says of each of the 25 weaknesses what became of it', () => {
    expect(weaknesses.map(([number]) => Number(number))).toEqual(
      Array.from({ length: 25 }, (_, i) => i + 1),
    )
    for (const [, , verdict = ''] of weaknesses) {
      expect(verdict).toMatch(/^\*\*(?:Mended|Kept|Does not apply)\b/)
    }
    expect(named.length).toBeGreaterThan(weaknesses.length)
  })

  test.each(named)('names a test that is there: $title', ({ file, title }) => {
    expect(readFileSync(join(ROOT, file), 'utf8')).toContain(title)
  })
})
