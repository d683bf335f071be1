/** Places the boxes of names so that they do not overlap, the most important first; pure. */

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** A name to place; `spots` are the boxes it may take, the best first. */
export interface Wish<T> {
  what: T;
  spots: Box[];
}

export interface Placed<T> {
  what: T;
  box: Box;
  spot: number;
}

export const meet = (one: Box, other: Box) =>
  one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

export const contains = (box: Box, x: number, y: number) =>
  x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;

const CELL = 128;

/**
 * Places in order of importance: each name takes its first spot that is inside the view, not covered, and free.
 */
export function place<T>(wishes: Wish<T>[], view: Box, covered: Box[] = []): Placed<T>[] {
  const cells = new Map<number, Box[]>();
  const cellsOf = (box: Box) => {
    const keys: number[] = [];
    for (let y = Math.floor(box.top / CELL); y <= Math.floor(box.bottom / CELL); y++) {
      for (let x = Math.floor(box.left / CELL); x <= Math.floor(box.right / CELL); x++) keys.push(y * 65536 + x);
    }
    return keys;
  };
  const take = (box: Box, keys: number[]) => {
    for (const key of keys) {
      const there = cells.get(key);
      if (there) there.push(box);
      else cells.set(key, [box]);
    }
  };
  for (const box of covered) take(box, cellsOf(box));
  const placed: Placed<T>[] = [];
  for (const { what, spots } of wishes) {
    for (const [spot, box] of spots.entries()) {
      if (box.left < view.left || box.right > view.right || box.top < view.top || box.bottom > view.bottom) continue;
      const keys = cellsOf(box);
      if (keys.some((key) => cells.get(key)?.some((other) => meet(box, other)))) continue;
      take(box, keys);
      placed.push({ what, box, spot });
      break;
    }
  }
  return placed;
}
