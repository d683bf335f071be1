/** Level curves of a sampled field (marching squares), as closed rings. */

/** A rectangle of samples, row by row; `left` and `top` place it in a larger grid. */
export interface Field {
  left: number;
  top: number;
  width: number;
  height: number;
  values: Float32Array;
}

/** x, y, x, y, ... in grid units; the last point joins the first. */
export type Ring = number[];

// For each of the 16 cases of inside corners (bits: top left, top right, bottom right, bottom left),
// the edges (0 top, 1 right, 2 bottom, 3 left) where a curve enters and leaves, inside on its left.
const CASES: number[][] = [
  [], [3, 0], [0, 1], [3, 1], [1, 2], [3, 0, 1, 2], [0, 2], [3, 2],
  [2, 3], [2, 0], [0, 1, 2, 3], [2, 1], [1, 3], [1, 0], [0, 3], [],
]; // prettier-ignore

/** The curves where the field is zero, around every part where it is positive; outside its border it is negative. */
export function rings(field: Field): Ring[] {
  const { left, top, width, height, values } = field;
  // A border of negative samples closes every curve.
  const wide = width + 2;
  const at = (x: number, y: number) =>
    x < 1 || y < 1 || x > width || y > height ? -1e-6 : values[(y - 1) * width + x - 1]! || -1e-9;
  const next = new Map<number, number>();
  const edge = (x: number, y: number, side: number) => {
    if (side === 0) return 2 * (y * wide + x);
    if (side === 2) return 2 * ((y + 1) * wide + x);
    return 2 * (y * wide + x + (side === 1 ? 1 : 0)) + 1;
  };
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      const inside =
        (at(x, y) > 0 ? 1 : 0) | (at(x + 1, y) > 0 ? 2 : 0) | (at(x + 1, y + 1) > 0 ? 4 : 0) | (at(x, y + 1) > 0 ? 8 : 0);
      const pieces = CASES[inside]!;
      for (let piece = 0; piece < pieces.length; piece += 2) {
        next.set(edge(x, y, pieces[piece]!), edge(x, y, pieces[piece + 1]!));
      }
    }
  }
  const found: Ring[] = [];
  for (const start of [...next.keys()]) {
    const ring: Ring = [];
    for (let here = start; next.has(here); ) {
      const cell = here >> 1;
      const x = cell % wide;
      const y = Math.floor(cell / wide);
      const vertical = here & 1;
      const one = at(x, y);
      const other = vertical ? at(x, y + 1) : at(x + 1, y);
      const along = one / (one - other);
      ring.push(left - 1 + x + (vertical ? 0 : along), top - 1 + y + (vertical ? along : 0));
      const after = next.get(here)!;
      next.delete(here);
      here = after;
    }
    if (ring.length >= 6) found.push(ring);
  }
  return found;
}
