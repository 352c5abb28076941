import { expect, test } from 'vitest'
import { neverFalling } from '../../src/clock.ts'

test('a clock that is set back goes on at half its speed until it is right again', () => {
  let wall = 1_000
  let at = 0
  const now = neverFalling({ now: () => wall, monotonic: () => at })
  const pass = (ms: number): number => {
    wall += ms
    at += ms
    return now()
  }
  expect(now()).toBe(1_000)
  expect(pass(10.5)).toBe(1_010)
  wall += 3_600_000
  expect(pass(0)).toBe(3_601_010)
  wall -= 3_600_000
  expect(pass(1)).toBe(3_601_010)
  expect(pass(1)).toBe(3_601_011)
  expect(pass(100)).toBe(3_601_061)
  // Two hours later it is where the wall clock is.
  expect(pass(7_200_000)).toBe(Math.floor(wall))
  expect(pass(5)).toBe(Math.floor(wall))
})
