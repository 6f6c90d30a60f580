/** `npm run test:long`: random programs and transfers in full; the suite that runs with every change has a part of them. */
export const LONG: boolean = process.env.ZCRX_TEST_LONG === '1'

/** Random runs of a property: all of them, or a part. */
export function runs(all: number, part: number = Math.ceil(all / 5)): number {
  return LONG ? all : part
}
